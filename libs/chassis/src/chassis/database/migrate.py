"""Migrates one service from its own image, and ends at once if there is nothing to migrate."""

import asyncio
import gc
import sys
from pathlib import Path

from pydantic import Field

from chassis.database.newest import at_newest_revisions
from chassis.database.urls import PostgresUrl
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.settings import Settings, load


class MigrationSettings(Settings):
    """The settings of a migration."""

    database_owner_url: PostgresUrl = Field(
        description="`postgresql://role:password@host:port/database` of the schema's owner."
    )
    startup_wait: float = Field(
        default=10, ge=0, le=3600, description="Seconds to wait for a server that still starts."
    )


def run(directory: Path) -> None:
    """Migrate a schema with the settings of the environment; exit with an error text if it fails.

    Args:
        directory: as for `migrate`.
    """
    try:
        migrate(directory, load(MigrationSettings))
    except DatabaseUnusableError as error:
        sys.exit(f"migration: {error}")
    sys.stdout.write("The schema is at its newest revision\n")


def migrate(directory: Path, settings: MigrationSettings) -> None:
    """Migrate a schema to its newest revision.

    Args:
        directory: the folder that holds ``migrations/``; its name is the service's.
        settings: the URL of the schema's owner, and how long to wait for the server.

    Raises:
        DatabaseUnusableError: the text says what the operator must correct.
    """
    if not (directory / "migrations").is_dir():
        message = f"{directory} holds no migrations/: run it in the service's directory"
        raise DatabaseUnusableError(message)
    url = settings.database_owner_url.get_secret_value()
    if asyncio.run(_is_done(directory, url, settings.startup_wait)):
        return
    # Alembic and the models take most of the time of a migration that has nothing to do.
    from chassis.database.upgrading import upgrade_or_explain  # noqa: PLC0415 - see above

    gc.enable()  # the imports are done
    upgrade_or_explain(directory, url)


async def _is_done(directory: Path, url: str, limit: float) -> bool:
    await wait_for_postgres(url, limit=limit)
    return await at_newest_revisions(directory, url)
