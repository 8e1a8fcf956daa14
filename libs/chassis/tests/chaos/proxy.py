"""A TCP proxy in front of the broker, which can cut, refuse or freeze connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65536


class Proxy:
    """Forwards connections on its own port to the broker, which must advertise that port.

    Args:
        port: the port that the proxy listens on.
        upstream: the port that the broker listens on.
    """

    def __init__(self, *, port: int, upstream: int) -> None:
        self.port = port
        self.upstream = upstream
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        async with server:
            try:
                yield
            finally:
                server.close()
                self.let_pass()
                self.cut()

    def cut(self) -> int:
        """Reset all connections at once. Return how many there were."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    def refuse(self) -> None:
        """Accept no new connections."""
        self._refuses = True

    def freeze(self) -> None:
        """Hold back all data and close nothing, as a network does that drops all packets."""
        self._flows.clear()

    def let_pass(self) -> None:
        """Forward everything again."""
        self._refuses = False
        self._flows.set()

    async def _accept(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        if self._refuses:
            client_writer.transport.abort()
            return
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            client_writer.transport.abort()
            return
        self._writers |= {client_writer, writer}
        await asyncio.gather(
            self._forward(client_reader, writer), self._forward(reader, client_writer)
        )
        self._writers -= {client_writer, writer}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
