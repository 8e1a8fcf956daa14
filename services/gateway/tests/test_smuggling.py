"""Requests that two parsers could interpret differently, on raw sockets: none is forwarded."""

import asyncio

import pytest

POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /api/v1/products HTTP/1.1\r\n"
SECOND = b"GET /api/v1/products?second HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"

AMBIGUOUS = {
    "length and chunked": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SECOND,
    "chunked and length": POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + SECOND,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SECOND,
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a folded header": GET + b"Host: x\r\nX-A: b\r\n c\r\n\r\n",
    "a folded encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": b"GET /api/v1/products HTTP/1.1\nHost: x\n\n",
    "one line feed alone": GET + b"Host: x\nX-A: b\r\n\r\n",
    "a carriage return alone": GET + b"Host: x\r\nX-A: b\rX-B: c\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a space before the first header": GET + b" Host: x\r\n\r\n",
    "an unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a second encoding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    "no host": GET + b"\r\n",
    "two hosts": GET + b"Host: a\r\nHost: b\r\n\r\n",
    "a NUL": GET + b"Host: x\r\nX-A: a\x00b\r\n\r\n",
    "an unencoded byte in the path": b"GET /api/v1/products/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 in the clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel with an offer": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n",
    "an offer with length and chunked": POST + OFFER + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n",
    "an offer with two lengths": POST
    + OFFER
    + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "an offer with a folded header": POST + b"X-A: b\r\n c\r\n" + OFFER + b"\r\n",
    "an offer with chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0")
    + OFFER
    + CHUNKED
    + b"\r\n0\r\n\r\n",
    "an offer whose Connection names Content-Length": POST
    + b"Upgrade: h2c\r\nConnection: Upgrade, Content-Length\r\nContent-Length: 5\r\n\r\nhello",
    "a WebSocket with a body": b"GET /api/v1/notifications/ws HTTP/1.1\r\nHost: x\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 5\r\n\r\nhello" + SECOND,
    "Connection names Content-Length": POST
    + b"Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello"
    + SECOND,
}

BROKEN_BODIES = {
    "a bare line feed in a chunk's extension": b"5;x\nhello\r\n0\r\n\r\n",
    "a chunk size in C's notation": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk that ends in a line feed": b"5\r\nhello\n0\n\n",
    "a chunk size beyond 64 bits": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": b"3\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": b"-5\r\nhello\r\n0\r\n\r\n",
}


async def exchange(port, data):
    """Send bytes, and read until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_an_ambiguous_head_is_400_and_the_end_of_its_connection(gateway, service, name):
    answer = await exchange(gateway.port, AMBIGUOUS[name])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"\r\n\r\n") == 1, "one answer, and no second request was read"
    assert b"application/problem+json" in answer
    assert not service.requests


@pytest.mark.parametrize("name", BROKEN_BODIES)
async def test_a_broken_body_is_400_and_never_whole_for_the_service(gateway, service, name):
    answer = await exchange(gateway.port, POST + CHUNKED + b"\r\n" + BROKEN_BODIES[name] + SECOND)
    assert answer.startswith(b"HTTP/1.1 400 ")
    if service.requests:
        async with asyncio.timeout(5):
            await service.disconnected.wait()
    assert not any(seen.whole for seen in service.requests)


async def test_a_body_that_ends_early_is_never_whole_for_the_service(gateway, service):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 70_000)
    async with asyncio.timeout(5):
        await service.begun.wait()
        writer.close()
        await service.disconnected.wait()
    assert not service.last.whole
    assert await reader.read() == b""


LAST = GET + b"Host: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"", b""),
        (b"Content-Length: 0\r\n", b""),
        (b"Content-Length: 5\r\n", b"hello"),
        (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_an_upgrade_that_is_offered_is_ignored(gateway, service, framing, body, size):
    """Whether the bytes arrive one by one, or with two more requests in the same packet."""
    one = POST + OFFER + framing + b"\r\n" + body
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    data = one + one + LAST
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert [(seen.method, seen.body) for seen in service.requests] == [
        ("POST", b"hello" if body else b""),
        ("POST", b"hello" if body else b""),
        ("GET", b""),
    ]
    for name in ("upgrade", "connection", "http2-settings"):
        assert service.requests[0].values(name) == []


async def test_a_broken_body_behind_an_offer_is_400(gateway, service):
    answer = await exchange(gateway.port, POST + OFFER + CHUNKED + b"\r\n0x5\r\nhello\r\n" + LAST)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not any(seen.whole for seen in service.requests)


async def test_trailers_do_not_become_headers(gateway, service):
    trailers = b"0\r\nX-Own: late\r\nHost: y\r\n\r\n"
    data = POST + CHUNKED + b"\r\n5\r\nhello\r\n" + trailers + LAST
    answer = await exchange(gateway.port, data)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert service.requests[0].body == b"hello"
    assert service.requests[0].values("x-own") == []


async def test_pipelined_requests_get_their_responses_in_order(gateway, service):
    close = SECOND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = await exchange(gateway.port, GET + b"Host: x\r\n\r\n" + SECOND + close)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [seen.query for seen in service.requests] == ["", "second", "second"]
