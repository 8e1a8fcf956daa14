"""Non-ASCII bytes in fields that the gateway does not interpret pass unchanged, both ways."""

import asyncio

import pytest
from websockets.asyncio.client import connect

# Public, and not cacheable: the service gets all fields.
READ = b"/api/v1/notifications/unsubscribe"
FIELDS = {
    "user-agent": b"Mozilla (caf\xe9)",
    "referer": b"https://shop.example/\xfc",
    "cookie": b"name=J\xf6rg; b=\xff\xfe",
    "x-city": b"K\xf6ln",
    "content-type": b"text/plain; charset=\x80",
    "accept-language": b"\xff",
    "x-mixed": "é".encode() + b"\xe9" + "ü".encode() + b"\xff\\u12 \t\xed\xa0\x80",
    "x-text": "é ü 漢".encode(),
}


def lines(fields):
    return b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in fields.items())


async def exchange(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


BODY = b"Content-Length: 5\r\n\r\nhello"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"GET " + READ, b"\r\n"),
        (b"HEAD " + READ, b"\r\n"),
        (b"POST /api/v1/users", BODY),
        (b"POST /api/v1/users", b"Content-Length: 0\r\n\r\n"),
        (b"POST /api/v1/users", CHUNKED),
    ],
)
async def test_they_reach_the_service(gateway, service, line, body):
    head = line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines(FIELDS)
    answer = await exchange(gateway.port, head + body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert {name: service.last.raw(name) for name in FIELDS} == {
        name: [value] for name, value in FIELDS.items()
    }
    assert service.last.body == (b"hello" if b"hello" in body else b"")


async def test_fields_of_one_name_stay_separate_and_in_order(gateway, service):
    head = b"GET " + READ + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    await exchange(gateway.port, head + b"X-A: \xff\r\nX-A: a\r\nX-A: \xfe\r\n\r\n")
    assert service.last.raw("x-a") == [b"\xff", b"a", b"\xfe"]


async def test_a_connection_to_the_service_is_used_again_afterwards(gateway, service):
    head = b"GET " + READ + b" HTTP/1.1\r\nHost: x\r\n"
    opaque = head + b"Cookie: \xff\r\n\r\n"
    last = head + b"Connection: close\r\n\r\n"
    answer = await exchange(gateway.port, opaque + head + b"\r\n" + opaque + last)
    assert answer.count(b"HTTP/1.1 200 ") == 4
    assert [seen.raw("cookie") for seen in service.requests] == [[b"\xff"], [], [b"\xff"], []]


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Forwarded-For", "X-Forwarded-Host"])
async def test_fields_that_are_replaced_or_not_trusted_may_hold_any_bytes(gateway, service, name):
    head = b"GET /api/v1/products HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = await exchange(gateway.port, head + name.encode() + b": \xff\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\xff" not in service.last.raw(name.lower())


@pytest.mark.parametrize("path", [b"/docs", b"/asyncapi.json", b"/nothing"])
async def test_the_own_routes_take_them_too(gateway, path):
    head = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines(FIELDS)
    answer = await exchange(gateway.port, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 404 " if path == b"/nothing" else b"HTTP/1.1 200 ")


async def test_the_fields_of_a_service_reach_the_client(start):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + lines(FIELDS) + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        gateway = await start(orders_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        head = b"GET /api/v1/products HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        received = await exchange(gateway.port, head)
    for name, value in FIELDS.items():
        assert b"%b: %b\r\n" % (name.encode(), value) in received


async def test_they_pass_with_a_websockets_handshake(gateway, service):
    latin = {"Cookie": "name=J\xf6rg", "User-Agent": "caf\xe9 \xff\\u1"}
    async with connect(
        gateway.websocket_url, proxy=None, additional_headers=latin, user_agent_header=None
    ) as socket:
        await socket.send("x")
        assert await socket.recv() == "x"
    assert service.last.raw("cookie") == [b"name=J\xf6rg"]
    assert service.last.raw("user-agent") == [b"caf\xe9 \xff\\u1"]
