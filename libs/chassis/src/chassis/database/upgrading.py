"""A migration whose errors say what to correct. It imports Alembic and the models."""

from pathlib import Path

import asyncpg
from sqlalchemy.exc import DBAPIError

from chassis.database.declared import UndeclaredTablesError
from chassis.database.migrations import TURN_SECONDS, upgrade
from chassis.database.waiting import DatabaseUnusableError

_SHOWN = 200  # characters of a statement in an error


def upgrade_or_explain(directory: Path, url: str) -> None:
    """Migrate a schema to its newest revisions.

    Args:
        directory: the folder that holds ``migrations/``; its name is the service's.
        url: ``postgresql://…`` of the schema's owner.

    Raises:
        DatabaseUnusableError: the text says what the operator must correct.
    """
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
