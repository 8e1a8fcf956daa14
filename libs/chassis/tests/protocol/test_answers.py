"""Responses that the protocol makes without the application look like all others."""

import asyncio

import pytest

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"
LAST = REQUEST + CLOSE + b"\r\n"
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
ORIGIN = b"Origin: https://a.example\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (REQUEST + ORIGIN + b"X: " + b"x" * 33_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n" + ORIGIN + b"\r\n", 414),
        (REQUEST + ORIGIN + b"Y: 1\r\nContent-Length: x\r\n\r\n", 400),
        (POST + ORIGIN + b"Expect: x\r\n\r\n", 417),
        (POST + ORIGIN + b"Transfer-Encoding: chunked\r\n\r\nx", 400),
        (REQUEST + ORIGIN + WEBSOCKET + b"Content-Length: 1\r\n\r\n", 400),
        (REQUEST.replace(b"/ ", b"/broken ") + ORIGIN + b"\r\n", 500),
        (REQUEST.replace(b"/ ", b"/silent ") + ORIGIN + b"\r\n", 500),
    ],
)
async def test_every_response_carries_the_common_fields(exchange, problem_in, request_, status):
    answer = await exchange(request_)
    problem_in(answer, status)
    assert answer.count(b"x-common: https://a.example\r\n") == 1


async def test_an_ordinary_answer_carries_them_too(exchange):
    answer = await exchange(REQUEST + ORIGIN + b"\r\n" + LAST)
    assert answer.count(b"x-common: https://a.example\r\n") == 1
    assert answer.count(b"x-common: none\r\n") == 1


async def test_head_is_refused_without_a_body(exchange):
    head = b"HEAD /" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await exchange(head)
    assert answer.startswith(b"HTTP/1.1 414 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_request_that_the_end_of_the_process_cuts_off_is_503(problem_in, server, app, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST.replace(b"/ ", b"/hanging ") + ORIGIN + b"\r\n")
    async with asyncio.timeout(5):
        await app.begun.wait()
        server.should_exit = True
        answer = await reader.read()
    writer.close()
    problem = problem_in(answer, 503)
    assert problem["type"].endswith("/unavailable")
    assert b"retry-after: 1\r\n" in answer
    assert b"x-common: https://a.example\r\n" in answer
