"""A socket that is handed over outlives the request that opened it."""

import asyncio
import gc
import json
from contextlib import asynccontextmanager
from weakref import ref

import pytest
import structlog
from prometheus_client import CollectorRegistry
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chassis.handover import hand_over
from chassis.http.context import RequestContext
from chassis.http.metrics import HttpMetrics
from chassis.protocol import BoundedProtocol
from chassis.websocket_protocol import BoundedWebSocketProtocol
from testkit.listeners import listening
from testkit.logs import own_logs

ID = "the-request"


class Handshake:
    """What only the request needs; the tests see when it goes."""


class App:
    """Accepts a socket, hands it over, and echoes what it gets with the log fields."""

    def __init__(self):
        self.returned = asyncio.Event()
        self.handshake = None
        self.ends = asyncio.Queue[int]()

    async def __call__(self, scope, receive, send):
        held = Handshake()
        self.handshake = ref(held)
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        if scope["path"] == "/refused":
            await socket.close(4401)
            return
        hand_over(scope, self.converse)
        scope["held"] = held
        self.returned.set()

    async def converse(self, receive, send):
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                await self.ends.put(message["code"])
                return
            if message["text"] == "fail":
                raise ValueError(message["text"])
            if message["text"] == "close":
                await send({"type": "websocket.close", "code": 4400})
                return
            fields = structlog.contextvars.get_contextvars()
            await send({"type": "websocket.send", "text": json.dumps(fields)})


@pytest.fixture
def app():
    return App()


@pytest.fixture
def opened(app):
    wrapped = RequestContext(app, metrics=HttpMetrics(CollectorRegistry()))

    @asynccontextmanager
    async def open_(path="/"):
        async with listening(wrapped, http=BoundedProtocol, ws=BoundedWebSocketProtocol) as server:
            url = f"ws://127.0.0.1:{server.config.port}{path}"
            async with connect(
                url, proxy=None, additional_headers={"X-Request-ID": ID}
            ) as connection:
                yield connection

    return open_


async def test_the_request_ends_with_its_log_line_while_the_socket_goes_on(app, opened):
    with own_logs() as logs:
        async with opened() as socket:
            await socket.send("first")
            assert json.loads(await socket.recv()) == {"request_id": ID}
            (line,) = [line for line in logs if line["event"] == "request ended"]
            await socket.send("second")
            assert json.loads(await socket.recv()) == {"request_id": ID}
    assert line["status"] == 101
    assert app.returned.is_set()


async def test_nothing_of_the_handshake_stays_in_memory(app, opened):
    async with opened() as socket:
        await socket.send("first")
        await socket.recv()
        gc.collect()
        assert app.handshake() is None


async def test_the_end_of_the_client_reaches_the_conversation(app, opened):
    async with opened() as socket:
        await socket.close(4001)
        assert await asyncio.wait_for(app.ends.get(), 5) == 4001


async def test_the_conversation_closes_the_socket(opened):
    async with opened() as socket:
        await socket.send("close")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4400


async def test_a_conversation_that_fails_ends_the_connection(opened, caplog):
    async with opened() as socket:
        await socket.send("fail")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1006
    assert "Exception in ASGI application" in caplog.text


async def test_a_socket_that_is_not_handed_over_ends_with_its_app(app, opened):
    async with opened("/refused") as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401
    assert not app.returned.is_set()
