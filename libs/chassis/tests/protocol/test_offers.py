"""Upgrades that a client offers and expectations are accepted or ignored, and cost it nothing."""

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
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"

OFFERS = {
    "curl --http2": POST + H2C + b"Content-Length: 5\r\n\r\nhello",
    "the JDK's client": REQUEST + b"Content-Length: 0\r\n" + H2C + b"\r\n",
    "no body": REQUEST + H2C + b"\r\n",
    "chunks": POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "TLS": POST + b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello",
    "several": POST
    + b"Upgrade: HTTP/2.0, SHTTP/1.3, IRC/6.9\r\nConnection: keep-alive\r\n"
    + b"Connection: upgrade\r\nContent-Length: 5\r\n\r\nhello",
}


def bodies(answer, number):
    """Read this many responses, each with a body of one chunk, and return the bodies."""
    assert answer.count(b"HTTP/1.1 200 ") == number, answer
    parts = answer.split(b"HTTP/1.1 200 ")[1:]
    return [part.partition(b"\r\n\r\n")[2] for part in parts]


def hello(offer):
    return b"5\r\nhello\r\n0\r\n\r\n" if b"hello" in offer else b"0\r\n\r\n"


@pytest.mark.parametrize("name", OFFERS)
async def test_an_upgrade_that_is_not_taken_costs_neither_body_nor_connection(exchange, app, name):
    offer = OFFERS[name]
    answer = await exchange(offer + offer + LAST)
    assert bodies(answer, 3) == [hello(offer), hello(offer), b"0\r\n\r\n"]
    assert all(b"upgrade" not in dict(scope["headers"]) for scope in app.scopes)


@pytest.mark.parametrize("name", OFFERS)
async def test_it_may_come_byte_by_byte(exchange, name):
    offer = OFFERS[name]
    parts = (bytes([byte]) for byte in offer + LAST)
    answer = await exchange(*parts)
    assert bodies(answer, 2) == [hello(offer), b"0\r\n\r\n"]


async def test_http_1_0_knows_no_upgrade_not_even_to_a_websocket(exchange, app):
    head = REQUEST.replace(b"1.1", b"1.0") + WEBSOCKET
    assert bodies(await exchange(head + b"\r\n"), 1)
    assert [scope["type"] for scope in app.scopes] == ["http"]


async def test_a_thousand_offers_at_once_are_served_in_turn(exchange):
    offer = OFFERS["curl --http2"]
    answer = await exchange(offer * 1000 + LAST)
    assert len(bodies(answer, 1001)) == 1001


@pytest.mark.parametrize(
    "fields",
    [
        WEBSOCKET.replace(b"Upgrade: websocket", b"Upgrade: h2c, WebSocket"),
        WEBSOCKET + b"Upgrade: h2c\r\n",
        WEBSOCKET + b"Connection: keep-alive\r\n",
        WEBSOCKET + b"Content-Length: 00\r\n",
        WEBSOCKET + b"Cookie: \xe9\r\n",
    ],
)
async def test_a_websocket_among_other_offers_is_taken(port, app, fields):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST + fields + b"\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
    writer.close()
    (scope,) = app.scopes
    assert scope["type"] == "websocket"
    assert dict(scope["headers"]).get(b"cookie", b"\xe9") == b"\xe9"


async def test_another_websocket_version_is_426_with_the_one_that_is_known(exchange, problem_in):
    head = REQUEST + WEBSOCKET.replace(b"Version: 13", b"Version: 14")
    answer = await exchange(head + b"\r\n")
    problem_in(answer, 426)
    assert b"sec-websocket-version: 13\r\n" in answer
    assert b"upgrade: websocket\r\n" in answer


EXPECT = b"Expect: 100-continue\r\n"
BODY = b"Content-Length: 5\r\n" + CLOSE + b"\r\nhello"


@pytest.mark.parametrize("field", [EXPECT, b"expect: 100-Continue \r\n", EXPECT + EXPECT])
async def test_a_client_that_waits_for_100_continue_gets_it(port, field):
    head, _, body = (POST + field + BODY).partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b"hello" in await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        POST.replace(b"1.1", b"1.0") + EXPECT + BODY,
        POST + EXPECT + CLOSE + b"\r\n",
        POST + EXPECT + b"Content-Length: 0\r\n" + CLOSE + b"\r\n",
        POST + b"Expect:\r\n" + BODY,
        POST + b"Expect: ,\r\n" + BODY,
    ],
)
async def test_if_the_client_does_not_wait_no_100_continue_is_sent(exchange, request_):
    answer = await exchange(request_)
    assert bodies(answer, 1)
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("value", [b"the-impossible", b"100-continue, x", b"200-ok=1"])
async def test_an_unknown_expectation_is_417(exchange, problem_in, value):
    problem = problem_in(await exchange(POST + b"Expect: " + value + b"\r\n" + BODY), 417)
    assert problem["type"].endswith("/expectation-failed")


@pytest.mark.parametrize(
    "field",
    [
        b"TE: trailers, deflate;q=0.5",
        b"Accept: application/xml",
        b"Accept-Encoding: zstd",
        b"Accept-Language: \xff",
        b"Accept-Charset: utf-7",
        b"Prefer: respond-async",
        b"Range: bytes=0-1",
        b"Upgrade-Insecure-Requests: 1",
        b"Upgrade: h2c",  # Connection does not name it
        b"Connection: Upgrade",  # no Upgrade field
        b"Connection: Upgrade\r\nUpgrade:",
        b"HTTP2-Settings: A",
        b"Keep-Alive: timeout=5",
        b"Trailer: X",
    ],
)
async def test_other_offers_are_no_error(exchange, field):
    assert bodies(await exchange(REQUEST + field + b"\r\n\r\n" + LAST), 2)
