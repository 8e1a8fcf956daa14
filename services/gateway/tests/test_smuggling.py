"""Requests that two parsers could interpret differently, beyond the rows of the raw corpus."""

import asyncio

import pytest

POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /api/v1/products HTTP/1.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"


async def exchange(port, data):
    """Send bytes, and read until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


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


async def test_trailers_do_not_become_headers(gateway, service):
    trailers = b"0\r\nX-Own: late\r\nHost: y\r\n\r\n"
    data = POST + CHUNKED + b"\r\n5\r\nhello\r\n" + trailers + LAST
    answer = await exchange(gateway.port, data)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert service.requests[0].body == b"hello"
    assert service.requests[0].values("x-own") == []
