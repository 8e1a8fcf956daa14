"""Distinguishes temporary failures of our own database from errors of data, code and third parties.

An exception's type is not enough: the client of a mail server raises ConnectionError as well. So
the database layer marks the errors that it raises, and only marked errors are infrastructure.
"""

import asyncio
from collections.abc import Iterator

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

_MARK = "_chassis_infrastructure"

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


def mark_infrastructure[E: BaseException](error: E) -> E:
    """Mark `error` as a failure of our own database, and return it.

    Only the database layer calls it, where the error is raised.
    """
    setattr(error, _MARK, True)
    return error


def is_infrastructure_error(error: BaseException) -> bool:
    """Return whether our own database failed, so that the same work may succeed later, unchanged.

    True for lost or refused connections, time-outs, deadlocks, serialization failures, a server
    that is starting, stopping or read-only, a rejected password, and a statement whose tables were
    just migrated. Also True for an error that was raised because of one of these, and for a group
    that contains one.

    False for everything that the database layer did not raise: a ConnectionError, a TimeoutError
    or an SSLError of a third party is a failure of the code that called it.
    """
    return any(getattr(one, _MARK, False) for one in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes; for a group, also its members and their causes."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        # A time limit cancels the code that it interrupts. An error below the cancellation is not
        # the reason of the failure.
        if id(one) in seen or isinstance(one, asyncio.CancelledError):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is not None:
            waiting.append(cause)


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
