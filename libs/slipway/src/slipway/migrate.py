"""Runs and writes migrations with Alembic; also `python -m slipway.migrate ROOT` for all services.

Nothing else imports this module at its top: what Alembic imports costs memory and time.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
from alembic.util import CommandError

from chassis.database.migrations import new_revision, upgrade
from slipway.database import SERVICES, Database, role_names
from slipway.errors import SlipwayError
from slipway.migration import service_directory, url_variable
from slipway.settings import HOST, SlipwaySettings
from slipway.state import StateDirectory


def migrate(service: str | None, *, root: Path, settings: SlipwaySettings) -> tuple[str, ...]:
    """Bring one service's schema, or all, to the newest revision; answers their names."""
    services = SERVICES if service is None else (_known(service),)
    for name in services:
        url = _owner_url(name, root, settings)
        _run(name, url, partial(upgrade, service_directory(root, name), url))
    return services


def write_migration(service: str, text: str, *, root: Path, settings: SlipwaySettings) -> None:
    """Write the next revision of a service: what its tables have and the database hasn't."""
    name = _known(service)
    url = _owner_url(name, root, settings)
    _run(name, url, partial(new_revision, service_directory(root, name), url, text))


def main() -> None:
    """Migrate each service to its newest revision, with the URLs in the environment."""
    root = Path(sys.argv[1])
    for service in SERVICES:
        upgrade(service_directory(root, service), os.environ[url_variable(service)])


def _known(service: str) -> str:
    if service not in SERVICES:
        message = f"there is no service {service!r} with a schema: one of {', '.join(SERVICES)}"
        raise SlipwayError(message)
    return service


def _owner_url(service: str, root: Path, settings: SlipwaySettings) -> str:
    """That of DATABASE_OWNER_URL, or of the local database."""
    if settings.database_owner_url is not None:
        return settings.database_owner_url.get_secret_value()
    state = StateDirectory(root / settings.slipway_state_dir)
    if not state.path.is_dir():
        message = f"{state.path} doesn't exist: `slipway up` makes the database (or set {_SETTING})"
        raise SlipwayError(message)
    database = Database(
        superuser_url=f"postgresql://{HOST}:{settings.postgres_port}",
        name="slipway",
        passwords=state.passwords(role_names()),
    )
    return database.owner_url(service)


def _run(service: str, url: str, work: Callable[[], object]) -> None:
    place = url.rpartition("@")[2]
    try:
        work()
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InvalidPasswordError) as error:
        message = (
            f"the database at {place} can't be used: {error}. Start it with `slipway up`, or set "
            f"{_SETTING} to the URL of the role {service}_owner"
        )
        raise SlipwayError(message) from error
    except CommandError as error:
        message = f"Alembic refuses for {service}: {error}"
        raise SlipwayError(message) from error


_SETTING = "DATABASE_OWNER_URL"

if __name__ == "__main__":
    main()
