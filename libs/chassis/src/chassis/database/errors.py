"""Distinguishes errors of the driver that may pass from those of data and code."""

import asyncpg

from chassis.library_internals.asyncpg import says_closed

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one, and so are all errors of sockets, names and TLS
    EOFError,
)
"""The errors that asyncpg raises for a statement, or while it connects."""

# SQLSTATE classes: connection, transaction rollback (deadlock, serialization), resources,
# operator intervention (shutdown, cancel), system error.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
# Lock not available, the time-outs of idle and of whole transactions, and a read-only server: a
# standby before its promotion, or a primary that was demoted.
_PASSING_STATES = ("55P03", "25P03", "25P04", "25006")

# Errors of a session's state, which last as long as the session, even if the server has changed
# since: a protocol that is out of step, a shutdown, an internal error.
_SESSION_CLASSES = ("08", "57P", "XX")
# A read-only default, prepared statements that are missing or another client's, and a search path
# whose schema or tables do not exist.
_SESSION_STATES = ("25006", "26000", "42P05", "3F000", "42P01")


def passes(error: BaseException) -> bool:
    """Return whether an error that a statement raised in the driver is temporary.

    Args:
        error: one of DRIVER_ERRORS, as asyncpg raised it.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return says_closed(error)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        stale = isinstance(error, asyncpg.InvalidCachedStatementError)
        return stale or state[:2] in _PASSING_CLASSES or state in _PASSING_STATES
    # InternalClientError: raised on a connection that the server has ended, before it is closed.
    return isinstance(error, asyncpg.InternalClientError | OSError | EOFError)


def belongs_to_session(error: BaseException) -> bool:
    """Return whether the cause of an error is the session's state, not the statement.

    The same statement may then fail for as long as the session lives, and in every older session: a
    session reads the role's settings when it begins, it caches plans and types, and a demoted
    primary keeps it open.

    Args:
        error: one of DRIVER_ERRORS, as asyncpg raised it.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        cached = isinstance(error, asyncpg.InvalidCachedStatementError)
        return cached or state.startswith(_SESSION_CLASSES) or state in _SESSION_STATES
    return isinstance(error, asyncpg.InternalClientError)
