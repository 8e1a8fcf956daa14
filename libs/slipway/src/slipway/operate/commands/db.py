"""The command `db`."""

from typing import Annotated

import typer
from rich.console import Console

from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.operate.database import Database
from slipway.place import load_here, state_directory
from slipway.services import SERVICES
from slipway.settings import HOST, BootstrapSettings, SlipwaySettings
from slipway.state import SUPERUSER, StateDirectory

app = typer.Typer(
    help="The one database of all services.", no_args_is_help=True, add_completion=False
)

_console = Console(soft_wrap=True)


@app.command("bootstrap")
def bootstrap_database() -> None:
    """Create database, schemas, roles and grants, or correct those that differ.

    Reads DATABASE_SUPERUSER_URL and a password for each role, from the environment or from files
    in SECRETS_DIRECTORY. Sets a password that has changed.
    """
    settings = load_here(BootstrapSettings)
    database = Database(
        superuser_url=settings.database_superuser_url.get_secret_value(),
        name=settings.database_name,
        passwords=settings.passwords,
    )
    run(database.prepare_when_there(limit=settings.startup_wait))
    _console.print(f"Database {settings.database_name} has its schemas, roles and grants")


@app.command("url")
def show_url(
    service: Annotated[
        str | None, typer.Argument(help=f"{', '.join(SERVICES)}: its schema is the search path.")
    ] = None,
) -> None:
    """Print the URL of the Postgres of `slipway up`, for psql, pg_dump and the backup.

    It has the password of the superuser of this machine's server.
    """
    state = state_directory()
    typer.echo(guard(lambda: _url(state, load_here(SlipwaySettings), service)))


def _url(state: StateDirectory, settings: SlipwaySettings, service: str | None) -> str:
    if service is not None and service not in SERVICES:
        message = f"There is no service {service!r}. Use one of: {', '.join(SERVICES)}."
        raise SlipwayError(message)
    if not state.has_passwords():
        message = f"No database was made in {state.path} yet: `slipway up` makes it."
        raise SlipwayError(message)
    password = state.passwords((SUPERUSER,))[SUPERUSER]
    url = f"postgresql://{SUPERUSER}:{password}@{HOST}:{settings.postgres_port}/slipway"
    return url if service is None else f"{url}?options=-csearch_path%3D{service}"
