"""The bounded pool of connections to one service."""

import asyncio
import random
import ssl
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from gateway.pool.call import Call
from gateway.pool.connection import UpstreamConnection
from gateway.pool.names import Address, Names

# A service closes an idle connection after 75 s. This is shorter, so that no request is written to
# a connection that is being closed.
KEEP_ALIVE_SECONDS = 30.0
# A connection stays at its replica. Without an end, a new replica would get no request while the
# old ones keep theirs; the jitter prevents that all connections are replaced at once.
_RETIRE_SECONDS = (45.0, 75.0)
_TRIES = 2
_CLOSED = "the pool of connections is closed"


class Pool:
    """Opens connections when calls need them, and keeps them for the next ones.

    A call that finds no connection waits in the order of arrival. Its own deadline ends the wait:
    the call is cancelled. Idle connections are used in turn, which spreads calls over the
    replicas.

    Args:
        names: resolves the service's name.
        limit: the most connections; 0 for no limit.
        connect_seconds: how long a service may take to accept a connection.
        tls: the context of TLS connections; None for plain ones.
        clock: returns seconds that only increase.
    """

    def __init__(
        self,
        *,
        names: Names,
        limit: int,
        connect_seconds: float,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._limit = limit or float("inf")
        self._connect_seconds = connect_seconds
        self._tls = tls
        self._clock = clock
        self._connections: set[UpstreamConnection] = set()
        self._by_address: Counter[Address] = Counter()
        self._idle: deque[UpstreamConnection] = deque()
        self._waiting: OrderedDict[Call, None] = OrderedDict()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def size(self) -> int:
        """The number of connections that are open or being opened."""
        return len(self._connections) + len(self._opening)

    @property
    def busy(self) -> int:
        """The number of connections that carry a call."""
        return sum(connection.call is not None for connection in self._connections)

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a connection."""
        return len(self._waiting)

    async def warm(self, *, seconds: float) -> bool:
        """Open a first connection before a call needs one, and return whether that succeeded."""
        try:
            async with asyncio.timeout(seconds):
                await self._open()
        except (OSError, TimeoutError):
            return False
        return True

    def acquire(self, call: Call) -> None:
        """Give `call` a connection, now or later; fail it if the pool is closed."""
        if self._closed:
            call.fail(ConnectionError(_CLOSED))
            return
        while self._idle:
            connection = self._idle.popleft()
            if connection.closed:
                continue
            if not call.repeatable and connection.stale():
                connection.close()
                continue
            connection.carry(call)
            return
        self._waiting[call] = None
        self._open_more()

    def forget(self, call: Call) -> None:
        """Give `call` no connection any more."""
        self._waiting.pop(call, None)

    def release(self, connection: UpstreamConnection) -> None:
        """Give a connection whose call has ended to the next call, or keep it."""
        now = self._clock()
        if self._closed or now >= connection.retires_at:
            connection.close()
        elif self._waiting:
            connection.carry(self._waiting.popitem(last=False)[0])
        else:
            connection.idle_since = now
            self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """Note that a connection is closed: its place is free."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._by_address[connection.address] -= 1
            self._open_more()

    def distrust(self, address: Address) -> None:
        """Close the idle connections to a replica that has closed one of them."""
        for connection in [one for one in self._idle if one.address == address]:
            connection.close()

    def sweep(self) -> None:
        """Close the connections that were idle for too long."""
        idle_before = self._clock() - KEEP_ALIVE_SECONDS
        while self._idle and (self._idle[0].closed or self._idle[0].idle_since < idle_before):
            self._idle.popleft().close()

    async def close(self) -> None:
        """Close all connections. Calls that still run or wait fail."""
        self._closed = True
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        while self._waiting:
            self._waiting.popitem(last=False)[0].fail(ConnectionError(_CLOSED))

    def _open_more(self) -> None:
        """Open a connection for each call that waits, as far as the limit allows."""
        while (
            len(self._opening) < len(self._waiting) and self.size < self._limit and not self._closed
        ):
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._waiting:
            failure = error if isinstance(error, Exception) else OSError(str(error))
            self._waiting.popitem(last=False)[0].fail(failure)
        self._open_more()

    async def _open(self) -> None:
        avoided: Address | None = None
        for attempt in range(_TRIES):
            try:
                avoided = await self._pick(avoided)
                await self._connect(avoided)
            except (OSError, TimeoutError):
                self._names.forget()
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    async def _pick(self, avoided: Address | None) -> Address:
        """Return the replica with the fewest connections; not `avoided` if there is another."""
        addresses = await self._names.addresses()
        others = [address for address in addresses if address != avoided] or list(addresses)
        random.shuffle(others)
        return min(others, key=self._by_address.__getitem__)

    async def _connect(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(self, address),
                address.host,
                address.port,
                ssl=self._tls,
                server_hostname=self._names.host if self._tls else None,
            )
        if connection.closed:
            message = "the service closed the connection at once"
            raise ConnectionResetError(message)
        connection.retires_at = self._clock() + random.uniform(*_RETIRE_SECONDS)  # noqa: S311 - no secret
        self._connections.add(connection)
        self._by_address[address] += 1
        self.release(connection)
