"""What SQLAlchemy's pool leaves open: who gets a connection next, and whether it still lives."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class Turns:
    """Lets as many go on at a time as there are connections, in the order in which they came.

    The pool gives a connection that is free again to who asks in that moment, and sends the one
    that waited for it to the end of the line: under load some would wait for seconds.

    Args:
        connections: that the pool can have.
        patience: seconds to wait for one.
    """

    def __init__(self, *, connections: int, patience: float) -> None:
        self._connections = connections
        self._patience = patience
        self._free = asyncio.Semaphore(connections)  # first come, first served

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it; TimeoutError where that takes too long."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError as error:
            message = (
                f"all of the pool's connections ({self._connections}) were in use for "
                f"{self._patience:g} s: the database is slow, or DATABASE_POOL_SIZE too small"
            )
            raise TimeoutError(message) from error
        try:
            yield
        finally:
            self._free.release()


class LostConnections:
    """Has lost connections of a pool replaced before somebody gets them, without a round trip each.

    One that the server closed is known to be closed here. Only one that was idle for long may be
    lost without a word (a firewall forgot it, a host died): that one is asked.

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
