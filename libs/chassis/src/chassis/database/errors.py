"""Tells errors of the infrastructure, which pass, from errors of the data, which don't."""

import asyncio

import asyncpg
from sqlalchemy import exc

# SQLSTATE classes: connection, transaction rollback (deadlock, serialization), resources,
# operator intervention (shutdown, cancel), system error.
_CLASSES = ("08", "40", "53", "57", "58")
# Lock not available, and the time-outs of idle and of whole transactions.
_STATES = ("55P03", "25P03", "25P04")


def is_infrastructure_error(error: BaseException) -> bool:
    """Say whether the same work may succeed later, unchanged.

    True for lost or refused connections, time-outs, deadlocks, serialization failures, a server
    that is starting or stopping, and a statement whose tables were just migrated.
    """
    if isinstance(error, exc.DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return error.connection_invalidated or (
            cause is not None and is_infrastructure_error(cause)
        )
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has one class for a closed connection and for a wrong argument.
        return "closed" in str(error)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        stale = isinstance(error, asyncpg.InvalidCachedStatementError)
        return stale or state[:2] in _CLASSES or state in _STATES
    # asyncpg's answer while a connection that the server has given up is not closed yet.
    lost = isinstance(error, asyncpg.InternalClientError)
    return lost or isinstance(
        error, (exc.TimeoutError, OSError, TimeoutError, asyncio.IncompleteReadError)
    )
