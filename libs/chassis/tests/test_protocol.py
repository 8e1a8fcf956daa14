import asyncio
import json

import pytest
import uvicorn

from chassis.process import _Server
from chassis.protocol import BoundedProtocol
from chassis.servers.base import free_port

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Impatient(BoundedProtocol):
    head_seconds = 0.2


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
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


@pytest.fixture
async def port():
    number = free_port()
    config = uvicorn.Config(app, port=number, http=Impatient, lifespan="off", log_config=None)
    server = _Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.005)
    yield number
    server.should_exit = True
    await running


async def exchange(port, *parts, pause=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def problem_in(answer, status):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["request_id"].encode() in head
    return problem


async def test_what_is_no_http_is_a_problem(port):
    problem = problem_in(await exchange(port, b"nonsense\r\n\r\n"), 400)
    assert problem["type"].endswith("/bad-request")


async def test_a_url_may_have_32_kib(port):
    fits = b"GET /" + b"x" * 32_767 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(port, fits)).startswith(b"HTTP/1.1 200 ")
    problem = problem_in(await exchange(port, fits.replace(b"/x", b"/xx", 1)), 414)
    assert problem["type"].endswith("/uri-too-long")


async def test_headers_may_have_32_kib_together(port):
    def large(size):
        fields = b"Host: x\r\nConnection: close\r\n"
        return b"GET / HTTP/1.1\r\n%bX: %b\r\n\r\n" % (fields, b"x" * (size - len(fields) - 5))

    assert (await exchange(port, large(32_768))).startswith(b"HTTP/1.1 200 ")
    problem = problem_in(await exchange(port, large(32_769)), 431)
    assert problem["type"].endswith("/request-header-fields-too-large")


async def test_a_head_without_end_is_not_held(port):
    problem_in(await exchange(port, REQUEST + b"X-A: " + b"x" * 65_600), 431)


async def test_a_head_that_does_not_come_ends_its_connection(port):
    assert await exchange(port) == b""
    assert await exchange(port, REQUEST) == b""


async def test_a_head_that_trickles_ends_its_connection(port):
    assert await exchange(port, b"GET / HTTP", b"/1.1\r\nHost:", pause=0.15) == b""


async def test_the_second_head_of_a_connection_is_awaited_no_longer(port):
    answer = await exchange(port, REQUEST + b"\r\n" + REQUEST)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_connection_that_rests_between_requests_stays(port):
    last = REQUEST + b"Connection: close\r\n\r\n"
    answer = await exchange(port, REQUEST + b"\r\n", last, pause=0.5)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_a_slow_body_is_not_taken_for_a_slow_head(port):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    answer = await exchange(port, head, b"a", b"b", pause=0.3)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"ab" in answer


@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (b"GET /?" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n" + WEBSOCKET, 414),
        (REQUEST + WEBSOCKET + b"X: " + b"x" * 9_000 + b"\r\n", 431),
        (REQUEST + WEBSOCKET + b"X: y\r\n" * 130, 431),
        (REQUEST + WEBSOCKET + b"Content-Length: 1\r\n", 400),
        (REQUEST.replace(b"GET", b"PUT") + WEBSOCKET, 400),
    ],
)
async def test_a_handshake_that_the_websocket_library_would_drop_is_answered(
    port, handshake, status
):
    problem_in(await exchange(port, handshake + b"\r\n"), status)


async def test_a_handshake_is_accepted(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST + WEBSOCKET + b"\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
        await asyncio.sleep(0.4)  # longer than a head may take
        assert not reader.at_eof()
    writer.close()
