"""The command `db`."""

import typer
from rich.console import Console

from chassis.settings import load
from slipway.guard import run
from slipway.operate.database import Database
from slipway.settings import BootstrapSettings

app = typer.Typer(
    help="The one database of all services.", no_args_is_help=True, add_completion=False
)

_console = Console(soft_wrap=True)


@app.callback()
def _group() -> None:
    """Make typer require a subcommand, although there is only one."""


@app.command("bootstrap")
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
