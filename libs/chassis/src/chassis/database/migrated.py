"""Work that waits for the service's migrations: a process may start before they are applied."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from chassis.database.infrastructure import is_infrastructure_error


class NotMigratedError(Exception):
    """The schema lacks a table that this version needs."""


@contextmanager
def needs_migrations() -> Iterator[None]:
    """Raise NotMigratedError for a statement whose table is missing."""
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        message = (
            f"{error}. The schema is not the one that this release needs. Apply the service's "
            "migrations (python -m chassis.run SERVICE migrate)."
        )
        raise NotMigratedError(message) from error


def database_not_ready(error: BaseException) -> bool:
    """Return whether work may succeed later: PostgreSQL is unavailable, or not migrated yet."""
    return isinstance(error, NotMigratedError) or is_infrastructure_error(error)
