"""The command `topics`."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contracts import TOPICS
from slipway.guard import guard, run
from slipway.operate.topics import Applied, Topics
from slipway.place import load_here
from slipway.settings import TopicSettings

app = typer.Typer(
    help="Kafka topics, as the contracts declare them.", no_args_is_help=True, add_completion=False
)

_console = Console(soft_wrap=True)


@app.command("apply")
def apply_topics() -> None:
    """Bring the topics on KAFKA_BOOTSTRAP_SERVERS (default: the local Kafka) to the contracts.

    Creates those that are missing and alters settings that differ; never a partition count. One
    that was changed by hand stops it, unless KAFKA_TOPIC_PARTITIONS accepts it.
    """
    settings = load_here(TopicSettings)
    topics = guard(lambda: Topics.of(settings, TOPICS))
    applied = run(topics.apply_when_there(settings.startup_wait))
    for name, (accepted, declared) in topics.accepted.items():
        _console.print(
            f"Accepted: {name} has {accepted} partitions, not {declared}. Events of a key may "
            "arrive out of order until all events from before the change are consumed"
        )
    if applied.created:
        _console.print(f"Created: {', '.join(applied.created)}")
    for each in applied.altered:
        _console.print(f"Altered: {each.topic} {each.setting} {each.present} → {each.declared}")
    if applied == Applied():
        _console.print("All topics are as the contracts declare them")


@app.command("diff")
def diff_topics(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show where the topics on KAFKA_BOOTSTRAP_SERVERS are not as the contracts declare them.

    Exit status 1 if they differ.
    """
    topics = guard(lambda: Topics.of(load_here(TopicSettings), TOPICS))
    found = run(topics.diff())
    if as_json:
        document = {"differences": [asdict(each) for each in found]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif not found:
        _console.print("All topics are as the contracts declare them")
    else:
        table = Table("topic", "setting", "present", "declared")
        for each in found:
            table.add_row(each.topic, each.setting, each.present or "missing", each.declared)
        Console().print(table)  # as wide as the terminal is now, not when this was imported
    if found:
        raise typer.Exit(1)
