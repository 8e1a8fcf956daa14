"""The `slipway` command: reads its arguments and settings, and calls what does the work."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chassis.servers import ServerError
from chassis.settings import load
from contracts import TOPICS
from slipway import demo as demonstration
from slipway import topics
from slipway.console import Reporter
from slipway.errors import SlipwayError, leaves
from slipway.foreground import addresses, run_until_signal
from slipway.mail import find_mail, read_mails
from slipway.servers import mail_directory
from slipway.settings import BrokerSettings, SlipwaySettings
from slipway.state import find_root
from slipway.status import as_table, read_status
from slipway.system import Plan, System

app = typer.Typer(
    help="Runs Slipway on this machine: starts it, shows it, migrates its databases.",
    no_args_is_help=True,
    add_completion=False,
)
migrations_app = typer.Typer(help="Write migrations.", no_args_is_help=True)
topics_app = typer.Typer(help="Kafka topics, as the contracts declare them.", no_args_is_help=True)
app.add_typer(migrations_app, name="migrations")
app.add_typer(topics_app, name="topics")

_console = Console()
_errors = Console(stderr=True, soft_wrap=True)
_Service = Annotated[str, typer.Argument(help="users, orders or notifications.")]


@app.command()
def up() -> None:
    """Start the whole system and keep it running until Ctrl-C.

    Starts Postgres, Kafka, Valkey, a mail sink and a trace sink, migrates the databases, starts
    gateway, users, orders and notifications, and seeds demo accounts and products. A process that
    dies is named and started again. Data stays in .slipway/ (setting SLIPWAY_STATE_DIR).
    """
    started = time.monotonic()
    plan, reporter = _plan(), Reporter(_console)

    async def show_and_wait(system: System) -> None:
        _console.print(addresses(system.settings))
        reporter.say(f"Ready in {time.monotonic() - started:.1f} s")
        await asyncio.Event().wait()

    _run(run_until_signal(plan, reporter, show_and_wait))
    reporter.say("Everything has stopped")


@app.command()
def demo() -> None:
    """Place one order and show its way: request, commit, published, consumed, pushed.

    Uses the running system; where none runs, one is started for the time of the demo.
    """
    plan, reporter = _plan(), Reporter(_console)

    async def show(gateway_url: str, traces_url: str) -> None:
        journey = await demonstration.play(gateway_url, traces_url, reporter)
        _console.print(demonstration.as_table(journey))

    record = plan.state.read()
    if record is not None and record.alive:
        _run(show(record.gateway_url, record.traces_url))
        return
    reporter.say("No system runs: starting one for the time of the demo")
    finished = _run(
        run_until_signal(plan, reporter, lambda system: show(system.gateway_url, system.traces_url))
    )
    if not finished:
        raise typer.Exit(1)


@app.command()
def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show what runs: pid, health, address and memory. Exit status 1 unless all is well."""
    found = _run(read_status(_plan().state))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    elif found.state == "stopped":
        _console.print("No system runs here: `slipway up` starts one.")
    else:
        _console.print(as_table(found))
    if not found.healthy:
        raise typer.Exit(1)


@app.command()
def migrate(
    service: Annotated[
        str | None, typer.Argument(help="users, orders or notifications; all when left out.")
    ] = None,
) -> None:
    """Bring the schema of one service, or of all, to its newest revision.

    The local Postgres of `slipway up` must run, or DATABASE_OWNER_URL name another one.
    """
    from slipway import migrate as alembic  # noqa: PLC0415  # heavy, and no other command needs it

    plan = _plan()
    names = _guard(lambda: alembic.migrate(service, root=plan.root, settings=plan.settings))
    _console.print(f"At their newest revision: {', '.join(names)}")


@migrations_app.command("new")
def new_migration(
    service: _Service, text: Annotated[str, typer.Argument(help="What it changes, in words.")]
) -> None:
    """Write a service's next migration: what its tables have and the database hasn't.

    Read what it wrote before you commit it: a renamed column looks like one dropped and one added.
    """
    from slipway import migrate as alembic  # noqa: PLC0415  # heavy, and no other command needs it

    plan = _plan()
    _guard(lambda: alembic.write_migration(service, text, root=plan.root, settings=plan.settings))


@topics_app.command("apply")
def apply_topics() -> None:
    """Create the topics that are missing on KAFKA_BOOTSTRAP_SERVERS (default: the local Kafka)."""
    settings = load(BrokerSettings)
    made = _run(topics.apply(settings.brokers, TOPICS, prefix=settings.kafka_topic_prefix))
    _console.print(f"Created: {', '.join(made)}" if made else "All topics are there")


@app.command()
def mail(
    number: Annotated[
        int | None, typer.Argument(help="The message to show; without it, all are listed.")
    ] = None,
) -> None:
    """List the messages that the mail sink received, or show one."""
    directory = mail_directory(_plan().state)
    if number is not None:
        found = _guard(lambda: find_mail(directory, number))
        for name in ("From", "To", "Subject", "Date"):
            _console.print(f"{name}: {found.message[name]}", markup=False, highlight=False)
        _console.print(f"\n{found.text}", markup=False, highlight=False)
        return
    table = Table("number", "date", "to", "subject")
    for item in read_mails(directory):
        headers = (str(item.message[name] or "") for name in ("Date", "To", "Subject"))
        table.add_row(str(item.number), *(escape(text) for text in headers))
    _console.print(table)


def main() -> None:
    """The entry point of the `slipway` command."""
    app()


def _plan() -> Plan:
    root = _guard(lambda: find_root(Path.cwd()))
    return Plan(settings=load(SlipwaySettings), root=root)


def _run[Result](work: Coroutine[Any, Any, Result]) -> Result:
    return _guard(lambda: asyncio.run(work))


def _guard[Result](work: Callable[[], Result]) -> Result:
    """Do `work`; an error that the user can act on is printed without a stack trace."""
    try:
        return work()
    except (SlipwayError, ServerError, ExceptionGroup) as error:
        errors = leaves(error)
        if not all(isinstance(leaf, SlipwayError | ServerError) for leaf in errors):
            raise
        for leaf in errors:
            _errors.print(f"slipway: {leaf}", style="red", markup=False, highlight=False)
    except KeyboardInterrupt:
        _errors.print("slipway: interrupted")
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
