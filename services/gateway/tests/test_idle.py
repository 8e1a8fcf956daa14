"""How long a client's connection is kept between its requests."""

import asyncio

from gateway.path.protocol import PathProtocol
from testkit.waiting import until

REQUEST = b"GET /api/v1/products?%d HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(start, monkeypatch):
    connections, writers, go_on = [], [], asyncio.Event()
    begin = PathProtocol.__init__

    def begun(self, *arguments, **options):
        begin(self, *arguments, **options)
        self.timeout_keep_alive = 0.2
        connections.append(self)

    async def serve(reader, writer):
        writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await go_on.wait()
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()

    monkeypatch.setattr(PathProtocol, "__init__", begun)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        gateway = await start(orders_url=f"http://127.0.0.1:{port}")
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(20):
            go_on.set()
            writer.write(REQUEST % 1)
            await reader.readuntil(b"ok")
            go_on.clear()
            writer.write(REQUEST % 2)
            await until(lambda: connections[0]._idle_timer is None)  # it fired while this waited
            go_on.set()
            await reader.readuntil(b"ok")
            writer.write(REQUEST % 3)  # begins the wait anew, with the timer of the one before
            await reader.readuntil(b"ok")
        await closed(reader, writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(REQUEST % 4)
        await reader.readuntil(b"ok")
        await closed(reader, writer)
        for one in writers:
            one.close()


async def closed(reader, writer):
    """Wait until the gateway closes a connection, before the limit for a head does so."""
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
