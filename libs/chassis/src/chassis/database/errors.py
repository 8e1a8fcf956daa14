"""Tells errors of the infrastructure, which pass, from errors of the data, which don't."""

import asyncio
import errno
import socket
import ssl

import asyncpg
from sqlalchemy import exc

# SQLSTATE classes: connection, transaction rollback (deadlock, serialization), resources,
# operator intervention (shutdown, cancel), system error.
_CLASSES = ("08", "40", "53", "57", "58")
# Lock not available, the time-outs of idle and of whole transactions, and a server that takes no
# writes: a standby before its promotion, or a primary that was demoted.
_STATES = ("55P03", "25P03", "25P04", "25006")
_LOST = (
    exc.TimeoutError,
    TimeoutError,
    ConnectionError,
    socket.gaierror,
    ssl.SSLError,
    asyncio.IncompleteReadError,
    asyncpg.InternalClientError,  # while a connection that the server has given up isn't closed yet
)
_NETWORK = {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH}
# asyncio's words where each address of a host refused for its own reason; it has no errno.
_SEVERAL = "Multiple exceptions: "


def is_infrastructure_error(error: BaseException) -> bool:
    """Say whether the same work may succeed later, unchanged.

    True for lost or refused connections, time-outs, deadlocks, serialization failures, a server
    that is starting or stopping or takes no writes, and a statement whose tables were just
    migrated. Other errors of the operating system are not: a file that is missing stays missing.
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
    if isinstance(error, OSError) and not isinstance(error, _LOST):
        return error.errno in _NETWORK or str(error).startswith(_SEVERAL)
    return isinstance(error, _LOST)
