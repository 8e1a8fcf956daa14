"""A server with an app for tests behind the protocol, and raw connections to it."""

import asyncio
import json
from functools import partial

import pytest

from chassis.protocol import BoundedProtocol
from testkit.listeners import listening


class Impatient(BoundedProtocol):
    head_seconds = 0.2


class App:
    """Returns each request's body, or fails as the path says."""

    def __init__(self):
        self.scopes = []
        self.begun = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        self.begun.set()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
        elif scope["path"] == "/broken":
            message = "the application is broken"
            raise RuntimeError(message)
        elif scope["path"] == "/hanging":
            await asyncio.Event().wait()
        elif scope["path"] != "/silent":
            await echo(receive, send)


async def echo(receive, send):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def common_fields(request):
    return [(b"x-common", dict(request).get(b"origin", b"none"))]


@pytest.fixture
def app():
    return App()


@pytest.fixture
async def server(app):
    async with listening(app, http=partial(Impatient, common_fields=common_fields)) as server:
        yield server


@pytest.fixture
def port(server):
    return server.config.port


@pytest.fixture
def exchange(port):
    """Send parts of a request, and read until the server closes the connection."""
    return partial(_exchange, port)


async def _exchange(port, *parts, pause=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.fixture
def problem_in():
    """Assert that a response is a problem, and return it."""
    return _problem_in


def _problem_in(answer, status):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["request_id"].encode() in head
    return problem
