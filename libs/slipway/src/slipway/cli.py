"""The `slipway` command: finds the requested subcommand, and imports no other.

``slipway --help`` and a mistyped command must not wait for what the other commands import.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from slipway.errors import INTERRUPTED

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    Attributes:
        place: its Typer app, as ``module:name``.
        summary: for the list of commands.
    """

    place: str
    summary: str


COMMANDS = {
    "up": Entry("slipway.local.commands:up_app", "Start the whole system; Ctrl-C stops it."),
    "demo": Entry("slipway.demo.commands:app", "Place an order and follow it, hop by hop."),
    "status": Entry(
        "slipway.local.watching:status_app", "Show the running processes and their health."
    ),
    "mail": Entry(
        "slipway.local.inspection:mail_app", "List the messages of the mail sink, or show one."
    ),
    "trace": Entry("slipway.local.inspection:trace_app", "Show one trace as a tree."),
    "doctor": Entry(
        "slipway.local.inspection:doctor_app", "Check a machine or a deployment for faults."
    ),
    "migrate": Entry(
        "slipway.operate.schemas:migrate_app", "Migrate schemas to the newest revision."
    ),
    "migrations": Entry("slipway.operate.schemas:migrations_app", "Write migrations."),
    "seed": Entry("slipway.operate.commands.seed:app", "Create demo data in a system elsewhere."),
    "topics": Entry("slipway.operate.commands.topics:app", "Create and compare Kafka topics."),
    "db": Entry("slipway.operate.commands.db:app", "Create database, schemas and roles."),
    "keys": Entry(
        "slipway.operate.commands.keys:app", "Create and rotate signing keys of access tokens."
    ),
    "secrets": Entry("slipway.operate.commands.secrets:app", "Create Secrets in Kubernetes."),
    "dead-letters": Entry(
        "slipway.operate.dead_letters:app", "Show, redrive and discard parked messages."
    ),
    "jobs": Entry("slipway.operate.jobs:app", "Show, redrive and cancel durable jobs."),
    "audit": Entry("slipway.operate.audit:app", "Verify the seals of the audit logs."),
    "verify": Entry("slipway.local.verify:app", "Compare the services' data with their events."),
    "replay": Entry("slipway.operate.replay:app", "Publish a service's present state again."),
}

_USAGE = "Usage: slipway COMMAND [ARGUMENTS]…"


def app_of(name: str) -> "typer.Typer":
    """Import the app of a command; raises KeyError if there is none of this name."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    app: typer.Typer = getattr(import_module(module), attribute)
    return app


def overview() -> str:
    """Return the help text: every command with its summary."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {entry.summary}" for name, entry in COMMANDS.items()]
    about = "Runs Slipway on one machine, and operates it anywhere."
    more = "`slipway COMMAND --help` describes a command."
    return "\n".join([_USAGE, "", about, "", *lines, "", more, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name; exits with status 2 if they name none."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"--help", "-h", "help"}:
        sys.stdout.write(overview())
        sys.exit(0 if given else 2)
    name, *rest = given
    if name not in COMMANDS:
        sys.stderr.write(
            f"slipway: There is no command {name!r}. `slipway --help` lists the commands.\n"
        )
        sys.exit(2)
    try:
        early_stop = import_module("chassis.early_stop")  # before what takes seconds to import
        early_stop.exit_on_sigterm(status=early_stop.NOT_DONE)
        app = app_of(name)
    except KeyboardInterrupt:
        sys.stderr.write("slipway: interrupted\n")
        sys.exit(INTERRUPTED)
    app(args=rest, prog_name=f"slipway {name}")


if __name__ == "__main__":
    main()
