"""The gateway's memory while it holds idle HTTP connections, and while it holds WebSockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import batched
from typing import cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

from bench.gateway import PATH, USERS
from bench.machine import cpu_seconds, pss_megabytes, python_versions
from bench.proxies import Cores, start_gateway, start_upstream
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample
from bench.upstream import BODY
from bench.wire import get
from chassis.connections import raise_descriptor_limit
from slipway.errors import SlipwayError
from slipway.local.program import Program
from slipway.settings import HOST

IDLE = "idle HTTP connections"
SOCKETS = "proxied WebSockets"
_CONNECTIONS, _CONNECTIONS_BAR = 10_000, 200
_SOCKETS, _SOCKETS_BAR = 5_000, 250
_FEED = "/api/v1/notifications/ws"
_ADDRESSES = 50
_AT_ONCE = 50
_MESSAGE = "hello"
_SECONDS = 30
_METHOD = f"""\
One gateway process, started anew for either kind. A connection has sent one authenticated GET, got
its response and stays open; a WebSocket has sent one message, and got it back from an upstream that
echoes (`bench.upstream`), so each holds a second connection behind the gateway. The clients are in
the process of the measurement, at {_ADDRESSES} addresses of the loopback network. The memory (PSS)
is read when all of them are open; a connection that the gateway has closed by then voids the row.
The rate is that of opening them."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    del pace  # as long as it takes
    cores = Cores.of_this_machine()
    return await hold(rig, cores, connections=_CONNECTIONS, sockets=_SOCKETS)


async def hold(rig: Rig, cores: Cores, *, connections: int, sockets: int) -> Finding:
    """Hold so many connections, and then so many WebSockets, each at a fresh gateway."""
    raise_descriptor_limit()
    upstream = await start_upstream(rig, cores)
    gateway = await start_gateway(rig, upstream, cores)
    empty = pss_megabytes(gateway)
    url = f"{gateway.spec.address}{PATH}"
    requests = [
        get(url, {"authorization": f"Bearer {user.token}"})
        for user in await rig.users(USERS, "orders:read")
    ]
    with rig.reporter.step(f"{connections:,} {IDLE}"):
        idle = await held(gateway, _idle(url, requests, connections), connections)
    await gateway.stop()
    await gateway.start()
    with rig.reporter.step(f"{sockets:,} {SOCKETS}"):
        proxied = await held(gateway, _proxied(gateway.spec.address, sockets), sockets)
    return Finding(
        title="Connections that the gateway holds",
        lines=[
            _line(f"{connections:,} {IDLE}", idle.megabytes, _CONNECTIONS_BAR),
            _line(f"{sockets:,} {SOCKETS}", proxied.megabytes, _SOCKETS_BAR),
        ],
        method=_METHOD,
        samples={IDLE: [idle.sample], SOCKETS: [proxied.sample]},
        notes=[f"A gateway that holds none takes {empty:.0f} MB."],
        versions=python_versions("uvicorn", "httptools", "uvloop", "websockets", "aiohttp"),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """What it took to hold connections: to open them, and the memory."""

    sample: Sample
    megabytes: float


type _Holding = AbstractAsyncContextManager[Callable[[], int]]
"""Holds connections while it is entered; the callable returns how many the gateway has closed."""


async def held(gateway: Program, holding: _Holding, count: int) -> _Held:
    """Hold connections, and return what it took; raise SlipwayError if one was closed."""
    before, began = cpu_seconds(gateway), time.monotonic()
    async with holding as lost:
        seconds = time.monotonic() - began
        sample = Sample(operations=count, seconds=seconds, cpu=cpu_seconds(gateway) - before)
        megabytes = pss_megabytes(gateway)
        if lost():
            message = (
                f"The gateway closed {lost()} of {count:,} connections before all were open, after "
                f"{seconds:.0f} s, so nothing was measured. See {gateway.log_file}, or run the row "
                "again on a machine that is otherwise idle."
            )
            raise SlipwayError(message)
    return _Held(sample, megabytes)


@asynccontextmanager
async def _idle(
    url: str, requests: Sequence[bytes], count: int
) -> AsyncIterator[Callable[[], int]]:
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    opened: list[_Connection] = []

    async def open_one(number: int) -> None:
        _, connection = await loop.create_connection(
            lambda: _Connection(requests[number % len(requests)]),
            address.hostname or HOST,
            address.port or 80,
            local_addr=_client_address(number),
        )
        opened.append(connection)
        async with asyncio.timeout(_SECONDS):
            await connection.answered

    try:
        for numbers in batched(range(count), _AT_ONCE):
            await asyncio.gather(*map(open_one, numbers))
        yield lambda: sum(one.lost for one in opened)
    finally:
        for one in opened:
            one.close()


@asynccontextmanager
async def _proxied(address: str, count: int) -> AsyncIterator[Callable[[], int]]:
    url = f"{address.replace('http', 'ws', 1)}{_FEED}"
    opened: list[ClientConnection] = []

    async def open_one(number: int) -> None:
        client = await connect(
            url,
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=_SECONDS,
            local_addr=_client_address(number),
        )
        opened.append(client)
        async with asyncio.timeout(_SECONDS):
            await client.send(_MESSAGE)
            await client.recv()

    try:
        for numbers in batched(range(count), _AT_ONCE):
            await asyncio.gather(*map(open_one, numbers))
        yield lambda: sum(one.state is not State.OPEN for one in opened)
    finally:
        for some in batched(opened, _AT_ONCE):
            await asyncio.gather(*(one.close() for one in some))


def _client_address(number: int) -> tuple[str, int]:
    """Return an address of the loopback network: one address has too few ports for all."""
    return f"127.0.1.{1 + number % _ADDRESSES}", 0


def _line(what: str, megabytes: float, bar: int) -> Line:
    return Line(
        what=f"memory (PSS) of a gateway process that holds {what}",
        measured=Ratio.of([megabytes]),
        unit="MB",
        bar=bar,
        plain=True,
        at_most=True,
    )


class _Connection(asyncio.Protocol):
    """A connection that sends one request, and nothing after its response.

    Args:
        request: the bytes of the request.

    Attributes:
        answered: done when the response is complete, or can't be any more.
        lost: whether the connection was closed by the other side.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._response = b""
        self._transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take a part of the response."""
        self._response += data
        if self.answered.done() or not self._response.endswith(BODY):
            return
        if self._response.startswith(b"HTTP/1.1 200 "):
            self.answered.set_result(None)
            self._response = b""
        else:
            self._fail(f"The gateway responded: {self._response[:500].decode()}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the gateway has closed the connection."""
        self.lost = True
        self._fail(f"The gateway closed a connection ({exc}) after {self._response[:500]!r}.")

    def _fail(self, message: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(SlipwayError(message))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
