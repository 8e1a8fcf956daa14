"""Runs and writes migrations with Alembic; `python -m slipway.operate.migrate ROOT` runs all.

No other module imports this one at its top: Alembic's imports cost memory and time.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
from alembic.util import CommandError

from chassis.database.declared import UndeclaredTablesError
from chassis.database.migrations import Branch, new_revision, upgrade
from chassis.database.urls import shown_address
from slipway.errors import SlipwayError
from slipway.operate.database import Database
from slipway.services import SERVICES, role_names, service_directory, url_variable
from slipway.settings import HOST, SlipwaySettings
from slipway.state import StateDirectory


def migrate(service: str | None, *, root: Path, settings: SlipwaySettings) -> tuple[str, ...]:
    """Migrate one service's schema, or all, to the newest revision; return their names."""
    services = SERVICES if service is None else (_known(service),)
    for name in services:
        url = _owner_url(name, root, settings)
        _run(name, url, partial(upgrade, service_directory(root, name), url))
    return services


def write_migration(
    service: str, text: str, *, root: Path, settings: SlipwaySettings, chassis: bool = False
) -> None:
    """Write the next revision of a service: what its tables have and the database hasn't.

    Args:
        service: the service.
        text: what changes, in words.
        root: the top of the repository.
        settings: say where the database is.
        chassis: whether to compare the chassis' tables, and write a revision of the chassis.
    """
    name = _known(service)
    url = _owner_url(name, root, settings)
    branch = Branch.CHASSIS if chassis else Branch.SERVICE
    _run(name, url, partial(new_revision, service_directory(root, name), url, text, branch=branch))


def main() -> None:
    """Migrate each service to its newest revision, with the URLs in the environment."""
    root = Path(sys.argv[1])
    for service in SERVICES:
        upgrade(service_directory(root, service), os.environ[url_variable(service)])


def _known(service: str) -> str:
    if service not in SERVICES:
        message = f"No service {service!r} has a schema. Use one of: {', '.join(SERVICES)}."
        raise SlipwayError(message)
    return service


def _owner_url(service: str, root: Path, settings: SlipwaySettings) -> str:
    """Return DATABASE_OWNER_URL, or the owner's URL of the local database."""
    if settings.database_owner_url is not None:
        return settings.database_owner_url.get_secret_value()
    state = StateDirectory(root / settings.slipway_state_dir)
    if not state.path.is_dir():
        message = (
            f"{state.path} does not exist, so there is no local database. Run `slipway up`, or set "
            f"{_SETTING}."
        )
        raise SlipwayError(message)
    database = Database(
        superuser_url=f"postgresql://{HOST}:{settings.postgres_port}",
        name="slipway",
        passwords=state.passwords(role_names()),
    )
    return database.owner_url(service)


def _run(service: str, url: str, work: Callable[[], object]) -> None:
    place = shown_address(url)
    try:
        work()
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InvalidPasswordError) as error:
        message = (
            f"The database at {place} can't be used: {error}. Start it with `slipway up`, or set "
            f"{_SETTING} to the URL of the role {service}_owner."
        )
        raise SlipwayError(message) from error
    except CommandError as error:
        message = f"Alembic rejects the migrations of {service}: {error}"
        raise SlipwayError(message) from error
    except UndeclaredTablesError as error:
        raise SlipwayError(str(error)) from error


_SETTING = "DATABASE_OWNER_URL"

if __name__ == "__main__":
    main()
