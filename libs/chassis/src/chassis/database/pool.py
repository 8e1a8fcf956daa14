"""What SQLAlchemy's pool leaves open: who gets a connection next, and whether it still lives."""

import asyncio
import time
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_only

_RETURNED = "chassis.returned"
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class FairPool(AsyncAdaptedQueuePool):
    """Gives its connections in the order in which they are asked for.

    SQLAlchemy's own gives one that is free again to who asks in that moment, and sends the one that
    waited for it to the end of the line: under load some wait for seconds.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(*arguments, **options)
        self._connections = self.size() + self._max_overflow
        self._free = asyncio.Semaphore(self._connections)  # first come, first served

    def _do_get(self) -> ConnectionPoolEntry:
        await_only(self._take_turn())
        try:
            return super()._do_get()
        except BaseException:
            self._free.release()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self._free.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            message = (
                f"all of the pool's connections ({self._connections}) were in use for "
                f"{self._timeout:g} s: the database is slow, or DATABASE_POOL_SIZE too small"
            )
            raise exc.TimeoutError(message) from error


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
