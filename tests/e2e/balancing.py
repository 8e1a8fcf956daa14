"""A TCP balancer, as a Service of Kubernetes: it knows connections, not requests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_CHUNK = 65536


class Balancer:
    """Passes each new connection to the next of the ports that are in turn.

    Args:
        ports: of the processes on this machine.

    Attributes:
        passed: the number of connections that each port got.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = dict.fromkeys(ports, 0)

    def take_out(self, port: int) -> None:
        """Pass no new connection to a port. Open ones stay, as with Kubernetes' endpoints."""
        self._ports.remove(port)

    def put_in(self, port: int) -> None:
        """Pass new connections to a port again."""
        self._ports.append(port)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        port = self._ports.pop(0)
        self._ports.append(port)
        self.passed[port] += 1
        task = asyncio.create_task(self._serve(port, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            from_target, to_target = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, to_target))
                group.create_task(_pass_on(from_target, writer))
        except* OSError:
            pass  # one side has reset the connection, and the other one is told so
        finally:
            for one in (writer, to_target):
                one.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if not writer.transport.is_closing():
        writer.write_eof()


@asynccontextmanager
async def balancing(ports: Sequence[int]) -> AsyncIterator[tuple[str, Balancer]]:
    """Yield the address of a balancer in front of these ports, and the balancer."""
    balancer = Balancer(ports)
    server = await asyncio.start_server(balancer.accept, "127.0.0.1", 0)
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", balancer
        finally:
            server.close()
            await balancer.close()
