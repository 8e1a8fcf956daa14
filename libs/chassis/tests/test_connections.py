"""A slow client can't hold a connection, and many clients can't keep others out."""

import asyncio
import json
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from chassis.connections import ConnectionBound
from chassis.protocol import BoundedProtocol
from chassis.websocket_protocol import BoundedWebSocketProtocol
from testkit.listeners import listening

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HANG = GET.replace(b"/", b"/hang", 1)
HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class App:
    """Responds at once without reading the body, never, or endlessly."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        self.begun.set()
        try:
            await self._answer(scope["path"], receive, send)
        finally:
            self.ended.set()

    async def _answer(self, path, receive, send):
        if path == "/hang":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/flood":
            watching = asyncio.create_task(self._gone(receive))
            while not watching.done():
                await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
                await asyncio.sleep(0)
            return
        await send({"type": "http.response.body", "body": b"ok"})

    async def _gone(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _websocket(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 4401})
            return
        await receive()


class Impatient(BoundedProtocol):
    head_seconds = 0.2
    unsent_seconds = 0.3


@pytest.fixture
async def app():
    return App()


@pytest.fixture
async def serve(app):
    """Serve the app with the given bounds; yield its port."""
    async with AsyncExitStack() as stack:

        async def started(limit=None):
            class Listener(BoundedProtocol):
                bound = ConnectionBound(limit or 0)

            protocol = Impatient if limit is None else Listener
            return await stack.enter_async_context(_serving(app, protocol))

        yield started


@asynccontextmanager
async def _serving(app, protocol):
    async with listening(app, http=protocol, ws=BoundedWebSocketProtocol) as server:
        yield server.config.port


@pytest.fixture
async def connect():
    async with AsyncExitStack() as stack:

        async def opened(port, *sent):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            for part in sent:
                writer.write(part)
            return reader, writer

        yield opened


async def response(reader):
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readuntil(b"0\r\n\r\n")


async def end(reader):
    """Wait until the connection ends; return what was received before."""
    async with asyncio.timeout(5):
        return await reader.read()


class TestSlowClients:
    @pytest.mark.parametrize("more", [b"\r\n", b"\r\n\r\n", b"\n"])
    async def test_blank_lines_after_a_response_hold_no_connection(self, serve, connect, more):
        reader, writer = await connect(await serve(), GET)
        await response(reader)
        writer.write(more)
        assert await end(reader) == b""

    async def test_blank_lines_before_the_next_head_do_no_harm(self, serve, connect):
        reader, _ = await connect(await serve(), GET, b"\r\n", GET)
        await response(reader)
        await response(reader)

    async def test_a_body_that_nobody_wants_and_that_does_not_come_ends_its_connection(
        self, serve, connect
    ):
        reader, _ = await connect(await serve(), POST)
        await response(reader)
        assert await end(reader) == b""

    async def test_a_body_that_nobody_wants_and_that_trickles_ends_its_connection(
        self, serve, connect
    ):
        reader, writer = await connect(await serve(), POST.replace(b"4", b"10000000"))
        await response(reader)
        ended = asyncio.create_task(end(reader))
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait([ended], timeout=0.02)
        assert not ended.exception() or isinstance(ended.exception(), ConnectionError)

    async def test_a_body_that_nobody_wants_and_that_comes_leaves_the_connection_open(
        self, serve, connect
    ):
        reader, writer = await connect(await serve(), POST)
        await response(reader)
        writer.write(b"body" + GET)
        await response(reader)

    async def test_a_client_that_reads_nothing_is_cut_off(self, serve, app):
        port = await serve()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(0)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            await asyncio.get_running_loop().sock_sendall(client, GET.replace(b"/", b"/flood", 1))
            async with asyncio.timeout(20):
                await app.ended.wait()

    async def test_a_client_that_sends_no_close_frame_back_is_not_waited_for(self, serve, connect):
        reader, _ = await connect(await serve(), WEBSOCKET.replace(b"/", b"/close", 1))
        assert (await end(reader)).endswith(b"\x88\x02\x11\x31")


class TestBound:
    async def test_the_connection_that_idles_longest_makes_room(self, serve, connect):
        port = await serve(limit=2)
        first, _ = await connect(port, GET)
        await response(first)
        second, writer = await connect(port, GET)
        await response(second)
        third, _ = await connect(port, GET)
        await response(third)
        assert await end(first) == b""
        writer.write(GET)
        await response(second)

    async def test_heads_that_are_not_complete_make_room(self, serve, connect):
        port = await serve(limit=5)
        slow = [await connect(port, HALF) for _ in range(5)]
        for _ in range(5):
            reader, _ = await connect(port, GET)
            await response(reader)
        for reader, _ in slow:
            assert await end(reader) == b""

    async def test_requests_under_way_do_not_and_one_more_connection_is_503(
        self, serve, connect, app
    ):
        port = await serve(limit=1)
        _, busy = await connect(port, HANG)
        async with asyncio.timeout(5):
            await app.begun.wait()
        reader, _ = await connect(port, GET)
        head, _, body = (await end(reader)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1" in head
        assert json.loads(body)["type"].endswith("/unavailable")
        busy.close()
        async with asyncio.timeout(5):
            await app.ended.wait()
        reader, _ = await connect(port, GET)
        await response(reader)

    async def test_one_that_is_refused_and_sends_nothing_is_closed(self, serve, connect, app):
        port = await serve(limit=1)
        await connect(port, HANG)
        async with asyncio.timeout(5):
            await app.begun.wait()
        reader, _ = await connect(port)
        assert await end(reader) == b""

    async def test_a_websocket_keeps_its_place(self, serve, connect):
        port = await serve(limit=1)
        socket_reader, _ = await connect(port, WEBSOCKET)
        async with asyncio.timeout(5):
            await socket_reader.readuntil(b"\r\n\r\n")
        reader, _ = await connect(port, GET)
        assert (await end(reader)).startswith(b"HTTP/1.1 503 ")
        assert not socket_reader.at_eof()


async def test_a_process_takes_all_the_file_descriptors_that_it_may_have():
    program = (
        "import resource as r; from chassis.connections import raise_descriptor_limit\n"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (64, hard))\n"
        "print(raise_descriptor_limit() == hard == r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.split() == [b"True"]
