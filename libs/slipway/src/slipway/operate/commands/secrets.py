"""Commands for operators: the steps before the services can start, wherever they run.

They read addresses and passwords only from settings, and need no local server and no repository:
the image of the operators' jobs contains them.
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
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.operate import cluster
from slipway.operate import seed as seeding
from slipway.operate.database import Database
from slipway.operate.keys import KeyFiles, make_key_files, retire_keys, rotate_keys
from slipway.operate.topics import Applied, Topics
from slipway.settings import BootstrapSettings, SeedSettings, TopicSettings

topics_app = typer.Typer(
    help="Kafka topics, as the contracts declare them.", no_args_is_help=True, add_completion=False
)
database_app = typer.Typer(
    help="The one database of all services.", no_args_is_help=True, add_completion=False
)
keys_app = typer.Typer(
    help="Signing keys of access tokens.", no_args_is_help=True, add_completion=False
)
secrets_app = typer.Typer(
    help="Secrets of a Kubernetes namespace.", no_args_is_help=True, add_completion=False
)

seed_app = typer.Typer(add_completion=False)

_console = Console(soft_wrap=True)
_Private = Annotated[Path, typer.Option(help="The file that the users service reads.")]
_Public = Annotated[Path, typer.Option(help="The file that all services read.")]
_Password = Annotated[
    list[str] | None, typer.Option("--password", help="SECRET/ENTRY for a password.")
]


@database_app.callback()
@keys_app.callback()
@secrets_app.callback()
def _group() -> None:
    """Make typer require a subcommand, although there is only one."""


@seed_app.command()
def seed(
    url: Annotated[str, typer.Option(help="The gateway: http://host:port.")],
) -> None:
    """Create demo accounts and a demo catalogue in a system elsewhere; not in production.

    Logs in as FIRST_ADMIN_EMAIL with FIRST_ADMIN_PASSWORD. Does not change what exists.
    """
    settings = load(SeedSettings)

    async def work() -> None:
        if settings.environment is Environment.PRODUCTION:
            message = (
                "ENVIRONMENT is production, and the password of the demo accounts is public. "
                "Seed only systems with ENVIRONMENT=development."
            )
            raise SlipwayError(message)
        await seeding.seed(url, settings, Reporter(_console))

    run(work())


@topics_app.command("apply")
def apply_topics() -> None:
    """Bring the topics on KAFKA_BOOTSTRAP_SERVERS (default: the local Kafka) to the contracts.

    Creates those that are missing and alters settings that differ; never a partition count. One
    that was changed by hand stops it, unless KAFKA_TOPIC_PARTITIONS accepts it.
    """
    settings = load(TopicSettings)
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


@topics_app.command("diff")
def diff_topics(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show where the topics on KAFKA_BOOTSTRAP_SERVERS are not as the contracts declare them.

    Exit status 1 if they differ.
    """
    topics = guard(lambda: Topics.of(load(TopicSettings), TOPICS))
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


@database_app.command("bootstrap")
def bootstrap_database() -> None:
    """Create database, schemas, roles and grants, or correct those that differ.

    Reads DATABASE_SUPERUSER_URL and a password for each role, from the environment or from files
    in SECRETS_DIRECTORY. Sets a password that has changed.
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
def make_keys(private: _Private, public: _Public) -> None:
    """Create a signing key unless there is one: a private and a public JWK set."""
    made = guard(lambda: make_key_files(KeyFiles(private=private, public=public)))
    _console.print("Created a signing key" if made else "The signing keys exist already")


@keys_app.command("rotate")
def rotate(private: _Private, public: _Public) -> None:
    """Add a new signing key to both files.

    The users service reads the files again without a restart. It signs with the new key once its
    public key has been published for AUTH_SIGNING_KEY_WAIT seconds. Tokens of the old key stay
    valid.
    """
    kid = guard(lambda: rotate_keys(KeyFiles(private=private, public=public)))
    _console.print(f"Added the signing key {kid}")
    _console.print(
        "Run `slipway keys retire` after AUTH_SIGNING_KEY_WAIT and ACCESS_TOKEN_LIFETIME "
        "have passed (docs/runbooks/keys.md)"
    )


@keys_app.command("retire")
def retire(private: _Private, public: _Public) -> None:
    """Remove all signing keys but the newest from both files.

    Access tokens that a removed key signed are rejected within seconds. Run this once they have
    expired, or at once if a key was stolen.
    """
    removed = guard(lambda: retire_keys(KeyFiles(private=private, public=public)))
    _console.print(f"Removed: {', '.join(removed)}" if removed else "There was only one key")


@secrets_app.command("make")
def make_secrets(
    *,
    keys: Annotated[str | None, typer.Option(help="The Secret for the signing keys.")] = None,
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
