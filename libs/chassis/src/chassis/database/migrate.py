"""Migrates one service from its own image."""

import asyncio
from pathlib import Path

from pydantic import Field, SecretStr

from chassis.database.declared import UndeclaredTablesError
from chassis.database.migrations import upgrade
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.settings import Settings


class MigrationSettings(Settings):
    """The settings of a migration."""

    database_owner_url: SecretStr = Field(
        description="`postgresql://role:password@host:port/database` of the schema's owner."
    )
    startup_wait: float = Field(
        default=10, ge=0, le=3600, description="Seconds to wait for a server that still starts."
    )


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
    asyncio.run(wait_for_postgres(url, limit=settings.startup_wait))
    try:
        upgrade(directory, url)
    except UndeclaredTablesError as error:
        raise DatabaseUnusableError(str(error)) from error
