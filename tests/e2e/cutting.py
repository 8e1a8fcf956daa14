"""A TCP proxy that cuts connections at random, between any two bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

_CHUNK = 65536


class Cutter:
    """Passes bytes on. Of some chunks it passes on only a part, and then resets the connection.

    It goes by chunks and not by time, so that a slow machine gets as far as a fast one.

    Attributes:
        cuts: how many connections were reset.
    """

    def __init__(self, url: str, *, chance: float, seed: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._chance = chance
        self._random = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_target, to_target = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, to_target))
                group.create_task(self._pass_on(from_target, writer))
        except* OSError:
            pass  # cut, or one side has left
        finally:
            for one in (writer, to_target):
                one.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            cut = self._random.random() < self._chance
            writer.write(data[: self._random.randrange(len(data) + 1)] if cut else data)
            await writer.drain()
            if cut:
                self.cuts += 1
                break
        raise ConnectionResetError


@asynccontextmanager
async def cutting(url: str, *, chance: float, seed: int) -> AsyncIterator[tuple[str, Cutter]]:
    """Yield the address of a proxy in front of `url`, and the proxy."""
    cutter = Cutter(url, chance=chance, seed=seed)
    server = await asyncio.start_server(cutter.accept, "127.0.0.1", 0)
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cutter
        finally:
            server.close()
            await cutter.close()
