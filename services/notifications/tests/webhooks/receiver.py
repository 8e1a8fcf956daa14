"""A receiver of webhooks at the level of bytes, which responds as a test wants."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

type Respond = Callable[["Call", asyncio.StreamWriter], Awaitable[None]]


@dataclass(kw_only=True)
class Call:
    """One request as it arrived; header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


def status(code: int, *, body: bytes = b"", **headers: str) -> Respond:
    """Respond with a status; `retry_after="5"` becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def raw(content: bytes, *, close: bool = False) -> Respond:
    """Respond with these bytes."""

    async def respond(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        if close:
            writer.close()

    return respond


async def never(_: Call, __: asyncio.StreamWriter) -> None:
    """Respond never: hold the connection until it is closed."""
    await asyncio.Event().wait()


async def endless(_: Call, writer: asyncio.StreamWriter) -> None:
    """Respond with a body that does not end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


@dataclass(kw_only=True)
class Receiver:
    """A running receiver.

    Attributes:
        calls: the requests so far.
        respond: responds to each request.
    """

    port: int = 0
    scheme: str = "http"
    respond: Respond = field(default_factory=lambda: status(204))
    calls: list[Call] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [call.webhook_id for call in self.calls]


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Listen on a free port until the block ends."""
    receiver = Receiver(scheme="http" if tls is None else "https")
    open_: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        receiver.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while not writer.is_closing():
                    call = await _read(reader)
                    receiver.calls.append(call)
                    await receiver.respond(call, writer)
        finally:
            open_.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in open_:
            task.cancel()
        if open_:
            await asyncio.wait(set(open_))


async def _read(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.rstrip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(line=line, headers=headers, body=body)
