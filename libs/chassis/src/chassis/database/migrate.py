"""Migrates one service from its own image."""

import asyncio
import gc
import sys
from pathlib import Path

import asyncpg
from pydantic import Field, SecretStr
from sqlalchemy.exc import DBAPIError

from chassis.database.declared import UndeclaredTablesError
from chassis.database.migrations import TURN_SECONDS, upgrade
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.settings import Settings, load

_SHOWN = 200  # characters of a statement in an error


class MigrationSettings(Settings):
    """The settings of a migration."""

    database_owner_url: SecretStr = Field(
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
    gc.enable()  # the imports are done
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
    asyncio.run(wait_for_postgres(url, limit=settings.startup_wait))
    try:
        upgrade(directory, url)
    except UndeclaredTablesError as error:
        raise DatabaseUnusableError(str(error)) from error
    except DBAPIError as error:
        raise DatabaseUnusableError(_reason(error)) from error
    except TimeoutError as error:
        message = (
            f"Another migration of the schema {directory.name} did not end within "
            f"{TURN_SECONDS} s. Nothing was changed. Find it in pg_stat_activity, end it if it "
            "hangs, and migrate again"
        )
        raise DatabaseUnusableError(message) from error


def _reason(error: DBAPIError) -> str:
    """Return what PostgreSQL said, without the rows in its details: they are personal data."""
    cause = error.orig.__cause__ if error.orig is not None else None
    said = cause.message if isinstance(cause, asyncpg.PostgresError) else None
    statement = " ".join((error.statement or "the connection").split())
    return (
        f"PostgreSQL refused `{statement[:_SHOWN]}`: {said or type(cause or error).__name__}. The "
        "transaction of this revision was rolled back, revisions before it are applied, and the "
        "previous release can go on serving. Correct the cause, and migrate again"
    )
