"""Finds pooled connections that were lost, without a round trip before each transaction.

A connection that the server closed is known to be closed here. Only one that was idle for long may
be lost without a word (a firewall forgot it, a host died): that one is asked.
"""

import time
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

_RETURNED = "chassis.returned"
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class LostConnections:
    """Has lost connections of a pool replaced before somebody gets them.

    Args:
        after: seconds that a connection is idle before it is asked whether it lives.
        timeout: seconds that its answer may take.
    """

    def __init__(self, *, after: float, timeout: float) -> None:
        self._after = after
        self._timeout = timeout

    def watch(self, engine: AsyncEngine) -> None:
        """Look at each connection that leaves the engine's pool."""
        event.listen(engine.sync_engine, "checkin", self._returned)
        event.listen(engine.sync_engine, "checkout", self._taken)

    def _returned(self, _: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info[_RETURNED] = time.monotonic()

    def _taken(self, adapted: AdaptedConnection, entry: ConnectionPoolEntry, _: object) -> None:
        since = entry.info.get(_RETURNED)
        if since is None:  # it was opened just now
            return
        connection: asyncpg.Connection[Any] = adapted.driver_connection
        if connection.is_closed():
            message = "the server closed this connection"
            raise DisconnectionError(message)
        if time.monotonic() - since < self._after:
            return
        try:
            adapted.run_async(partial(_ping, timeout=self._timeout))
        except _LOST as error:
            connection.terminate()  # a farewell would wait for an answer again
            message = f"an idle connection did not answer: {error!r}"
            # Whatever took this one has taken others: all are opened anew.
            raise InvalidatePoolError(message) from error


async def _ping(connection: "asyncpg.Connection[Any]", *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's own
    await connection.execute("SELECT 1", timeout=timeout)
