"""The commands `migrate` and `migrations`."""

from typing import Annotated

import typer
from rich.console import Console

from slipway.guard import guard
from slipway.operate import migrate as alembic
from slipway.place import load_here, repository_root
from slipway.services import NAMES
from slipway.settings import SlipwaySettings

migrate_app = typer.Typer(add_completion=False)
migrations_app = typer.Typer(help="Write migrations.", no_args_is_help=True, add_completion=False)

_console = Console()
_Service = Annotated[str, typer.Argument(help=f"{NAMES}.")]


@migrations_app.callback()
def _group() -> None:
    """Write migrations."""


@migrate_app.command()
def migrate(
    service: Annotated[str | None, typer.Argument(help=f"{NAMES}; all when left out.")] = None,
) -> None:
    """Bring the schema of one service, or of all, to its newest revision.

    The local Postgres of `slipway up` must run, or DATABASE_OWNER_URL name another one.
    """
    root, settings = repository_root(), load_here(SlipwaySettings)
    names = guard(lambda: alembic.migrate(service, root=root, settings=settings))
    _console.print(f"At their newest revision: {', '.join(names)}")


@migrations_app.command("new")
def new_migration(
    service: _Service,
    text: Annotated[str, typer.Argument(help="What it changes, in words.")],
    *,
    chassis: Annotated[
        bool, typer.Option(help="Compare the chassis' tables, and write a revision of the chassis.")
    ] = False,
) -> None:
    """Write a service's next migration: what its tables have and the database hasn't.

    Read what it wrote before you commit it: a renamed column looks like one dropped and one added.
    """
    root, settings = repository_root(), load_here(SlipwaySettings)
    guard(
        lambda: alembic.write_migration(
            service, text, root=root, settings=settings, chassis=chassis
        )
    )
