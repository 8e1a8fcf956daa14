import asyncio
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

NOWHERE = "http://127.0.0.1:1"


async def test_an_unavailable_service_is_503_and_is_found_again(start, service, assert_problem):
    gateway = await start(orders_url=NOWHERE)
    answer = await gateway.http.get("/api/v1/products")
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert gateway.process.registry.get_sample_value(
        "gateway_upstream_failures_total", {"service": "orders", "kind": "unreachable"}
    )
    assert (await gateway.http.get("/.well-known/jwks.json")).status_code == 200
    assert len(service.requests) == 1


@asynccontextmanager
async def answering(*parts, then_wait=False):
    """A service that sends these bytes to each connection, whatever it requests."""

    async def answer(reader, writer):
        # The gateway may close a connection before it uses it.
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_wait:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
    ],
)
async def test_an_invalid_response_is_502(start, bearer, head, assert_problem):
    async with answering(head) as url:
        gateway = await start(orders_url=url)
        answer = await gateway.http.post("/api/v1/orders", headers=bearer)
        assert_problem(answer, 502, "bad-gateway")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
async def test_a_response_that_breaks_off_is_not_taken_for_whole(
    start, bearer, assert_problem, head
):
    async with answering(head) as url:
        gateway = await start(orders_url=url)
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.http.get("/api/v1/orders", headers=bearer)
        answer = await gateway.http.get("/api/v1/products")  # it is held, for the cache
        assert_problem(answer, 502, "bad-gateway")


async def test_a_response_that_does_not_come_is_504(start, service, assert_problem):
    gateway = await start(seconds=0.2)
    answer = await gateway.http.get("/api/v1/products?hang")
    assert_problem(answer, 504, "gateway-timeout")
    async with asyncio.timeout(5):
        await service.disconnected.wait()
    assert 0 < remaining(service) <= 200


def remaining(service):
    """Return the milliseconds that the gateway sent to the service as left."""
    [value] = service.last.values("x-request-timeout-ms")
    return int(value)


@pytest.mark.parametrize("path", [b"/api/v1/auth/login", b"/api/v1/auth/token"])
async def test_time_that_the_body_took_is_not_left_for_the_service(gateway, service, path):
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    # Its response shows that the gateway has read that head as well.
    await gateway.http.get("/.well-known/jwks.json")
    service.begun.clear()
    await asyncio.sleep(0.3)
    assert not service.begun.is_set(), "nothing of the body came"
    writer.write(b"null")
    async with asyncio.timeout(5):
        await service.begun.wait()
    writer.close()
    assert 0 < remaining(service) <= 5000 - 250


async def test_time_in_the_queue_for_a_connection_is_not_left_for_the_service(
    start, service, bearer
):
    gateway = await start(upstream_connections=1)
    first = asyncio.create_task(gateway.http.get("/api/v1/orders?hang", headers=bearer))
    async with asyncio.timeout(5):
        await service.begun.wait()
    second = asyncio.create_task(gateway.http.get("/api/v1/orders", headers=bearer))
    await asyncio.sleep(0.3)
    assert not second.done()
    first.cancel()
    assert (await second).status_code == 200
    assert 0 < remaining(service) <= 5_000 - 250


async def test_a_response_that_stops_half_way_ends_at_the_deadline(start, bearer):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    async with answering(head, then_wait=True) as url:
        gateway = await start(seconds=0.3, orders_url=url)
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.http.get("/api/v1/orders", headers=bearer)


async def test_a_body_that_does_not_come_is_408(start):
    gateway = await start(seconds=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello")
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_body_that_stops_half_way_is_408_before_the_deadline(start, monkeypatch):
    monkeypatch.setattr("gateway.path.request_body.STALL_SECONDS", 0.2)
    gateway = await start(seconds=600)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello")
    async with asyncio.timeout(60):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_client_that_disconnects_ends_the_request_to_the_service(gateway, service, bearer):
    waiting = asyncio.create_task(gateway.http.get("/api/v1/orders?hang", headers=bearer))
    async with asyncio.timeout(5):
        await service.begun.wait()
        waiting.cancel()
        await service.disconnected.wait()


async def test_one_service_without_free_connections_does_not_hold_up_another(start, bearer):
    async with answering(then_wait=True) as url:
        gateway = await start(seconds=1.0, orders_url=url, upstream_connections=2)
        stuck = [
            asyncio.create_task(gateway.http.get("/api/v1/orders", headers=bearer))
            for _ in range(5)
        ]
        async with asyncio.timeout(0.9):
            answer = await gateway.http.get("/.well-known/jwks.json")
        assert answer.status_code == 200
        assert {(await one).status_code for one in stuck} == {504}
