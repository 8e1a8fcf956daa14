"""HTTP/1.1 at a tenth of what a client library takes: the load shares its cores with what it loads.

It knows what the gateway answers, and no more: connections are kept, bodies have a length.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from slipway.errors import SlipwayError

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS = slice(9, 12)  # of `HTTP/1.1 201 Created`

type _Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def post(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write a request as it goes over the wire."""
    parts = urlsplit(url)
    fields = {"host": parts.netloc, "content-length": str(len(body)), **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """Kept connections to one address; `open_wire` makes and closes them.

    Args:
        host: of the server.
        port: of the server.

    Attributes:
        idle: connections that wait for a request.
    """

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self.idle: list[_Connection] = []
        self._opened: list[asyncio.StreamWriter] = []

    async def send(self, request: bytes, *, expect: int) -> bytes:
        """Send a request as it is; give the body of its answer.

        Raises:
            SlipwayError: the answer has another status, or is not as this reads it.
        """
        connection = self.idle.pop() if self.idle else await self._open()
        reader, writer = connection
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None:
            message = f"an answer without a length can't be read here: {head.decode()}"
            raise SlipwayError(message)
        body = await reader.readexactly(int(length[1]))
        self.idle.append(connection)
        if int(head[_STATUS]) != expect:
            message = f"an answer is {head[_STATUS].decode()} and not {expect}: {body.decode()}"
            raise SlipwayError(message)
        return body

    async def _open(self) -> _Connection:
        connection = await asyncio.open_connection(*self._place)
        self._opened.append(connection[1])
        return connection

    async def close(self) -> None:
        """Close all connections, whatever became of their requests."""
        for writer in self._opened:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in self._opened), return_exceptions=True)


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[Wire]:
    """Connect to the server of `url`, as often as requests are under way at once."""
    parts = urlsplit(url)
    wire = Wire(parts.hostname or "", parts.port or 80)
    try:
        yield wire
    finally:
        await wire.close()
