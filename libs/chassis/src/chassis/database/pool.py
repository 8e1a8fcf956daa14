"""A fair pool of connections, which replaces dead connections before they are used."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from chassis.database.connecting import Connection
from chassis.database.errors import DRIVER_ERRORS, belongs_to_session, passes
from chassis.database.infrastructure import mark_infrastructure

_CLOSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


def _unmeasured(_: float) -> None:
    """Stand for metrics until ``register_pool_metrics`` is called."""


class PoolTimeoutError(TimeoutError):
    """All connections of the pool were in use for the pool's time-out."""


@dataclass(slots=True, eq=False, kw_only=True)
class PooledConnection:
    """A connection of the pool.

    Attributes:
        driver: asyncpg's connection.
        generation: the pool's generation when the connection was opened.
        opened: when it was opened, in seconds of the monotonic clock.
        returned: when it came back to the pool for the last time.
        adapted: SQLAlchemy's view of it, which keeps SQLAlchemy's prepared statements; None until
            SQLAlchemy uses the connection.
    """

    driver: Connection
    generation: int
    opened: float = field(default_factory=time.monotonic)
    returned: float = 0.0
    adapted: Any = None


class Pool:
    """Hands out connections in the order of the requests for them.

    A returned connection goes to the task that has waited longest, not to one that asks at that
    moment. Otherwise some tasks would wait for seconds under load.

    Of the idle connections the one that was returned last is handed out. So no more are in use than
    are needed at a time, and their server processes have planned the statements, and have their
    rows and catalogues, before a statement comes.

    The driver knows when the server has closed a connection. Only a connection that was idle for
    long can be dead without notice (a firewall dropped it, a host died), so only such a one is
    tested with a ``SELECT 1``.

    Args:
        connect: opens a connection.
        size: connections that stay open.
        overflow: further connections for a burst; they are closed when they are returned.
        timeout: seconds to wait for a connection.
        recycle: seconds after which a connection is replaced; negative means never.
        ping_after: seconds that a connection must be idle before it is tested.
        ping_timeout: seconds that the test may take.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Awaitable[Connection]],
        size: int,
        overflow: int,
        timeout: float,
        recycle: float,
        ping_after: float,
        ping_timeout: float,
    ) -> None:
        self._connect = connect
        self._size = size
        self._timeout = timeout
        self._recycle = recycle
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._idle: list[PooledConnection] = []
        self._generation = 0
        self._closed = False
        self.limit = size + overflow
        """The number of connections that the pool may open."""
        self.in_use = 0
        """The number of connections that are handed out."""
        self.waiting = 0
        """The number of tasks that wait for a connection."""
        self.statement_took: Callable[[float], None] = _unmeasured
        """Called with the seconds of each statement that asyncpg ran."""
        self.commit_took: Callable[[float], None] = _unmeasured
        """Called with the seconds of each COMMIT."""
        self._free = asyncio.Semaphore(self.limit)  # first come, first served

    async def acquire(self) -> PooledConnection:
        """Return a connection for the caller's own use; it must be passed to ``release``.

        Raises:
            PoolTimeoutError: none was free within the time-out; marked as infrastructure.
            Exception: the error of opening one; marked as infrastructure.
        """
        await self._take_turn()
        try:
            held = await self._idle_connection() or await self._open()
        except BaseException:
            self._free.release()
            raise
        self.in_use += 1
        return held

    async def release(self, held: PooledConnection) -> None:
        """Take back a connection, whose transaction must have ended.

        It does not suspend, and so can't be cancelled, unless the connection must be closed.
        """
        if self.take_back(held):
            return
        try:
            await _close(held.driver)
        finally:
            self.in_use -= 1
            self._free.release()

    def take_back(self, held: PooledConnection) -> bool:
        """Take back a connection like ``release``, or return False if it must be closed first."""
        if not held.driver.is_closed():
            if not self._keeps(held):
                return False
            held.returned = time.monotonic()
            self._idle.append(held)
        self.in_use -= 1
        self._free.release()
        return True

    def failed(self, held: PooledConnection | None, error: BaseException) -> None:
        """Handle an error that a statement raised in the driver.

        A temporary error is marked as infrastructure. An error of the session (see
        ``belongs_to_session``) retires the connection and all older ones: each is replaced before
        its next use. So one request fails, and not one for each connection. So does a time-out of
        the driver, which the server's own limit precedes: the server is lost.

        Args:
            held: the connection that the statement ran on; None if it is already returned.
            error: as the driver raised it.
        """
        if passes(error):
            mark_infrastructure(error)
        if held is None:
            return
        lost = isinstance(error, TimeoutError)
        if lost:  # nothing responds there: a rollback, or the next statement, would wait as long
            held.driver.terminate()
        if lost or belongs_to_session(error):
            log.warning("connections retired", error=f"{type(error).__name__}: {error}")
            self._retire(held)

    async def close(self) -> None:
        """Close the idle connections now, and each of the others once it is returned."""
        self._closed = True
        while self._idle:
            await _close(self._idle.pop().driver)

    async def _take_turn(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            message = (
                f"all of the pool's connections ({self.limit}) were in use for "
                f"{self._timeout:g} s: the database is slow, or DATABASE_POOL_SIZE too small"
            )
            raise mark_infrastructure(PoolTimeoutError(message)) from error
        finally:
            self.waiting -= 1

    async def _idle_connection(self) -> PooledConnection | None:
        """Return an idle connection that works, or None; close those that don't."""
        while self._idle:
            held = self._idle.pop()
            if held.driver.is_closed():
                continue
            if not self._is_current(held):
                await _close(held.driver)
            elif await self._responds(held):
                return held
        return None

    async def _open(self) -> PooledConnection:
        generation = self._generation  # read first: an error may retire it while it is opened
        return PooledConnection(driver=await self._connect(), generation=generation)

    async def _responds(self, held: PooledConnection) -> bool:
        if time.monotonic() - held.returned < self._ping_after:
            return True
        if await self.settled(held):
            return True
        # One dead idle connection usually means that all are dead.
        log.warning("connections retired", error="an idle one did not respond")
        self._retire(held)
        return False

    async def settled(self, held: PooledConnection) -> bool:
        """Wait until what was sent on a connection has ended; close it if it does not respond.

        That says nothing about the others: a request to cancel that reaches the server before the
        statement does has no effect, and the statement may then run for longer than this waits.

        Returns:
            Whether it responded.
        """
        if held.driver.is_closed():
            return False
        try:
            await held.driver.execute("SELECT 1", timeout=self._ping_timeout)
        except DRIVER_ERRORS as error:
            held.driver.terminate()  # `close` would wait for the dead server again
            log.warning("connection did not respond, closed", error=repr(error))
            return False
        except BaseException:
            held.driver.terminate()
            raise
        return True

    def _keeps(self, held: PooledConnection) -> bool:
        return not self._closed and len(self._idle) < self._size and self._is_current(held)

    def _is_current(self, held: PooledConnection) -> bool:
        if held.generation < self._generation:
            return False
        return self._recycle < 0 or time.monotonic() - held.opened < self._recycle

    def _retire(self, held: PooledConnection) -> None:
        # The error of a connection that is retired already says nothing about younger ones.
        if held.generation == self._generation:
            self._generation += 1


async def _close(connection: Connection) -> None:
    with contextlib.suppress(*DRIVER_ERRORS):
        await connection.close(timeout=_CLOSE_SECONDS)
