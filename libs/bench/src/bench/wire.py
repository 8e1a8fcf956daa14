"""HTTP/1.1 at a tenth of a client library's cost: the load shares its cores with the system.

It supports only the gateway's responses: connections are kept alive, bodies have a length.
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


def get(url: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a GET."""
    return _head("GET", url, headers)


def post(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a POST."""
    return _head("POST", url, {"content-length": str(len(body)), **headers}) + body


def _head(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    fields = {"host": parts.netloc, **headers}
    target = f"{method} {parts.path} HTTP/1.1"
    lines = [target, *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


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
        """Send the bytes of a request; return the body of the response.

        Raises:
            SlipwayError: the response has another status, or an unsupported form.
        """
        connection = self.idle.pop() if self.idle else await self._open()
        reader, writer = connection
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None:
            message = (
                f"The response has no Content-Length, so this client can't read it: {head.decode()}"
            )
            raise SlipwayError(message)
        body = await reader.readexactly(int(length[1]))
        self.idle.append(connection)
        if int(head[_STATUS]) != expect:
            message = (
                f"The response has the status {head[_STATUS].decode()}, not {expect}: "
                f"{body.decode()}"
            )
            raise SlipwayError(message)
        return body

    async def _open(self) -> _Connection:
        connection = await asyncio.open_connection(*self._place)
        self._opened.append(connection[1])
        return connection

    async def close(self) -> None:
        """Close all connections, even if requests are open."""
        for writer in self._opened:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in self._opened), return_exceptions=True)


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[Wire]:
    """Open a connection to the server of `url` for each parallel request."""
    parts = urlsplit(url)
    wire = Wire(parts.hostname or "", parts.port or 80)
    try:
        yield wire
    finally:
        await wire.close()
