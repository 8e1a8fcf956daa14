"""Services accept all that the gateway accepts: no inner limit is smaller than the outer one.

At the gateway, a URL may have 32 KiB, and so may the headers together (414, 431).
"""

import asyncio
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network

import pytest

LIMIT = 32 * 1024
TARGET = b"/api/v1/products"
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def sent(port, *parts):
    """Send a request in parts, and return the status of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


def head(target, fields, size, *, filler):
    """Return a head whose fields have `size` bytes together; a filler makes up the difference."""
    rest = size - len(fields) - len(filler) - 4
    return b"GET %b HTTP/1.1\r\n%b%b: %b\r\n\r\n" % (target, fields, filler, b"x" * rest)


@pytest.mark.parametrize("filler", [b"X", b"Host", b"Cookie", b"If-None-Match"])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 431)])
async def test_headers_of_32_kib_reach_the_service_with_what_is_added(
    gateway, service, filler, size, status
):
    """The gateway adds the client's address, the trace and more, and repeats the Host."""
    fields = b"" if filler == b"Host" else b"Host: x\r\n"
    assert await sent(gateway.port, head(TARGET, fields, size, filler=filler)) == status
    assert len(service.requests) == (status == 200)


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
async def test_thousands_of_headers_reach_the_service(gateway, service, more, status):
    count, rest = divmod(LIMIT - len(b"Host: \r\n"), len(b"a: b\r\n"))
    fields = b"Host: %b\r\n" % (b"x" * rest) + b"a: b\r\n" * (count + more)
    request = b"GET %b HTTP/1.1\r\n%b\r\n" % (TARGET, fields)
    assert await sent(gateway.port, request) == status
    assert len(service.requests) == (status == 200)


@pytest.mark.parametrize("separator", [b"?q=", b"/"])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 414)])
async def test_a_url_of_32_kib_reaches_the_service(gateway, service, separator, size, status):
    target = (TARGET + separator).ljust(size, b"x")
    assert await sent(gateway.port, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target) == status
    assert [len(seen.path) + bool(seen.query) + len(seen.query) for seen in service.requests] == (
        [size] if status == 200 else []
    )


async def test_a_head_at_both_limits_may_come_in_parts(gateway, service):
    """The buffer for a head is bounded too. It must also fit a method, a version and line ends."""
    whole = head((TARGET + b"/").ljust(LIMIT, b"x"), b"Host: x\r\n", LIMIT, filler=b"X")
    assert await sent(gateway.port, whole[:-1], whole[-1:]) == 200
    assert len(service.requests) == 1


async def test_a_long_chain_of_trusted_proxies_reaches_the_service(start, service):
    gateway = await start(trusted_proxies=(ip_network("127.0.0.0/8"),))
    request = head(TARGET, b"Host: x\r\n", LIMIT, filler=b"X-Forwarded-For")
    assert await sent(gateway.port, request) == 200
    assert service.last.values("x-forwarded-for")[0].endswith("x, 127.0.0.1")


@pytest.mark.parametrize("filler", [b"X", b"Host", b"X-Forwarded-For"])
async def test_a_handshake_at_the_limits_reaches_the_service(start, service, filler):
    """The WebSocket library of the service limits each line, and the number of headers."""
    gateway = await start(trusted_proxies=(ip_network("127.0.0.0/8"),))
    long = b"%b: %b\r\n" % (filler, b"x" * (8000 - len(filler)))
    host = b"" if filler == b"Host" else b"Host: x\r\n"
    fields = host + HANDSHAKE + long
    fields += b"".join(b"X-%d: y\r\n" % number for number in range(104 - fields.count(b"\n")))
    target = b"/api/v1/notifications/ws?".ljust(8000, b"x")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields))
    async with asyncio.timeout(10):
        assert int((await reader.readline()).split()[1]) == 101
        # The gateway connects to the service once the first message has arrived.
        writer.write(b"\x81\x81\x00\x00\x00\x00x")
        while not service.requests:  # noqa: ASYNC110 - the service sets no event for it
            await asyncio.sleep(0.01)
    writer.close()
    assert len(service.requests) == 1


@asynccontextmanager
async def answering(fields):
    """A service that sends one response with these fields to each connection."""

    async def answer(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % fields)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"X: " + b"x" * 8_190 + b"\r\n", 200),
        (b"X: " + b"x" * (LIMIT - 1) + b"\r\n", 200),
        (b"X: " + b"x" * (LIMIT + 4096) + b"\r\n", 502),
        (b"X: y\r\n" * 129, 200),
        (b"X: y\r\n" * (LIMIT // 6), 200),
        (b"X: y\r\n" * 10_000, 502),
    ],
    ids=["8 KiB", "32 KiB", "over 32 KiB", "129", "as many as fit", "more than fit"],
)
async def test_the_head_of_a_response_may_be_as_large_as_that_of_a_request(start, fields, status):
    async with answering(fields) as url:
        gateway = await start(orders_url=url)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**20)
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % TARGET)
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert int(answer.split()[1]) == status
    if status == 200:
        assert answer.lower().count(b"\r\nx: ") == fields.count(b"X: ")
