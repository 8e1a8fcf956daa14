"""Clients that hold connections: slow heads, and WebSockets that never authenticate."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

_HEAD = b"GET /api/v1/orders HTTP/1.1\r\nHost: bench\r\n"
_BYTE_SECONDS = 1.0
_AGAIN_SECONDS = 0.2


class Crowd:
    """Holds connections to a gateway, and opens each again once the gateway has closed it.

    Args:
        url: of the gateway.
        slow: connections on which a head arrives, a byte each second.
        silent: WebSockets on which nothing is sent after the handshake.
        feed: path of the WebSocket.

    Attributes:
        closed_after: seconds from each silent socket's handshake to the gateway's close.
    """

    def __init__(self, url: str, *, slow: int, silent: int, feed: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port
        self._feed = f"ws://{address.netloc}{feed}"
        self._slow = slow
        self._silent = silent
        self.closed_after: list[float] = []

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the connections during the block."""
        tasks = [
            *(asyncio.create_task(self._hold_slow()) for _ in range(self._slow)),
            *(asyncio.create_task(self._hold_silent()) for _ in range(self._silent)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hold_slow(self) -> None:
        await asyncio.sleep(random.uniform(0, _BYTE_SECONDS))  # noqa: S311 - spreads load
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(_HEAD)
                    while not writer.is_closing():
                        await asyncio.sleep(_BYTE_SECONDS)
                        writer.write(b"x")
                        await writer.drain()
                finally:
                    writer.close()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _hold_silent(self) -> None:
        await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - spreads load
        while True:
            with contextlib.suppress(OSError, InvalidStatus, WebSocketException):
                async with connect(self._feed, proxy=None) as socket:
                    opened = time.monotonic()
                    await socket.wait_closed()
                    self.closed_after.append(time.monotonic() - opened)
            await asyncio.sleep(_AGAIN_SECONDS)
