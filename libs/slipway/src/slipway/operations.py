"""Commands for operators: what stands before the services can start, wherever they run.

They read addresses and passwords from settings alone, and need no local server and no repository:
the image of the operators' jobs carries them.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chassis.settings import Environment, load
from contracts import TOPICS
from slipway import cluster
from slipway import seed as seeding
from slipway.console import Reporter
from slipway.database import Database
from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.keys import KeyFiles, make_key_files
from slipway.settings import BootstrapSettings, SeedSettings, TopicSettings
from slipway.topics import Applied, Topics

topics_app = typer.Typer(help="Kafka topics, as the contracts declare them.", no_args_is_help=True)
database_app = typer.Typer(help="The one database of all services.", no_args_is_help=True)
keys_app = typer.Typer(help="Signing keys of access tokens.", no_args_is_help=True)
secrets_app = typer.Typer(help="Secrets of a Kubernetes namespace.", no_args_is_help=True)

_console = Console(soft_wrap=True)
_Password = Annotated[
    list[str] | None, typer.Option("--password", help="SECRET/ENTRY that is to hold a password.")
]


def seed(
    url: Annotated[str, typer.Option(help="The gateway: http://host:port.")],
) -> None:
    """Put demo accounts and a demo catalogue into a system elsewhere; not in production.

    Signs in as FIRST_ADMIN_EMAIL with FIRST_ADMIN_PASSWORD. What is there stays as it is.
    """
    settings = load(SeedSettings)

    async def work() -> None:
        if settings.environment is Environment.PRODUCTION:
            message = "demo accounts have a public password: for ENVIRONMENT=development only"
            raise SlipwayError(message)
        await seeding.seed(url, settings, Reporter(_console))

    run(work())


@topics_app.command("apply")
def apply_topics() -> None:
    """Bring the topics on KAFKA_BOOTSTRAP_SERVERS (default: the local Kafka) to the contracts.

    Creates those that are missing and alters settings that differ; never a partition count.
    """
    settings = load(TopicSettings)
    applied = run(Topics.of(settings, TOPICS).apply_when_there(settings.startup_wait))
    if applied.created:
        _console.print(f"Created: {', '.join(applied.created)}")
    for each in applied.altered:
        _console.print(f"Altered: {each.topic} {each.setting} {each.present} → {each.declared}")
    if applied == Applied():
        _console.print("All topics are as the contracts declare them")


@topics_app.command("diff")
def diff_topics(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show where the topics on KAFKA_BOOTSTRAP_SERVERS are not as the contracts declare them.

    Exit status 1 if they differ.
    """
    found = run(Topics.of(load(TopicSettings), TOPICS).diff())
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


@database_app.command("bootstrap")
def bootstrap_database() -> None:
    """Make database, schemas, roles and grants, or bring them to what they should be.

    Reads DATABASE_SUPERUSER_URL and a password for each role, from the environment or from files
    in SECRETS_DIRECTORY. A password that has changed is set anew.
    """
    settings = load(BootstrapSettings)
    database = Database(
        superuser_url=settings.database_superuser_url.get_secret_value(),
        name=settings.database_name,
        passwords=settings.passwords,
    )
    run(database.prepare_when_there(limit=settings.startup_wait))
    _console.print(f"Database {settings.database_name} has its schemas, roles and grants")


@keys_app.command("make")
def make_keys(
    private: Annotated[Path, typer.Option(help="The file that the users service reads.")],
    public: Annotated[Path, typer.Option(help="The file that all services read.")],
) -> None:
    """Make a signing key where there is none: a private and a public JWK set."""
    made = guard(lambda: make_key_files(KeyFiles(private=private, public=public)))
    _console.print("Made a signing key" if made else "The signing keys are there")


@secrets_app.command("make")
def make_secrets(
    *,
    keys: Annotated[
        str | None, typer.Option(help="The Secret that is to hold the signing keys.")
    ] = None,
    password: _Password = None,
    label: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, on each Secret that is made.")
    ] = None,
) -> None:
    """Make the Secrets that are missing in this pod's namespace; what is there is left as it is."""
    wanted = guard(lambda: cluster.wanted_secrets(keys=keys, passwords=password or []))
    labels = guard(lambda: cluster.parse_labels(label or []))
    here = guard(cluster.in_cluster)
    made = run(cluster.make_secrets(here, wanted, labels=labels))
    _console.print(f"Made: {', '.join(made)}" if made else "All Secrets are there")
