"""Services that stall, cut and send garbage, and clients that leave: nothing is leaked.

After each case the pool of the service has neither a busy connection nor a call that waits.
"""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from testkit.waiting import until

GET = b"GET /api/v1/products HTTP/1.1\r\nHost: x\r\n\r\n"
# No link of its route holds the response until it is whole.
STREAMED = GET.replace(b"products", b"notifications/unsubscribe")
POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def answering(*parts, hold=False):
    """A service that sends these bytes for each request head, and then closes or holds."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if hold:
                await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


async def sent(port, data):
    """Send a request and read until the gateway closes, or has sent a whole response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.transport.abort()


def close(request):
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


async def at_rest(gateway, service="users"):
    """Wait until no connection of the service is busy, and no call waits."""
    pool = gateway.server.served(gateway.route(service)).pool
    async with asyncio.timeout(5):
        while pool.busy or pool.waiting:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)
    assert not gateway.server.sweep.in_flight


def failures(gateway, service, kind):
    return gateway.metric("gateway_upstream_failures_total", service=service, kind=kind)


async def test_each_kind_of_failure_is_counted_from_the_start(start):
    gateway = await start()
    for service in ("users", "orders", "notifications"):
        for kind in ("unreachable", "broken", "timeout"):
            assert failures(gateway, service, kind) == 0


FAULTS = {
    "it closes": ((), False, 502),
    "garbage": ((b"garbage\r\n\r\n",), False, 502),
    "half a head": ((b"HTTP/1.1 200 OK\r\nX: ",), False, 502),
    "it stalls": ((), True, 504),
    "it stalls within the head": ((b"HTTP/1.1 200 OK\r\nX: ",), True, 504),
    "a huge head": ((b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",), True, 502),
    "an endless field": ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,), True, 502),
    "only an interim response": ((b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",), False, 502),
    "another encoding": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",), True, 502),
    "length and chunks": (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",),
        True,
        502,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("request_", [close(GET), close(POST + b"Content-Length: 2\r\n\r\nhi")])
async def test_a_fault_is_a_problem_and_leaves_nothing(start, name, request_):
    parts, hold, status = FAULTS[name]
    async with answering(*parts, hold=hold) as (url, _):
        gateway = await start(seconds=0.5, orders_url=url, users_url=url)
        answer = await sent(gateway.port, request_)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer
        assert b"application/problem+json" in answer
        kind = "timeout" if status == 504 else "broken"
        assert sum(failures(gateway, name, kind) for name in ("users", "orders")) == 1
        await at_rest(gateway)
        await at_rest(gateway, "orders")


CUT = {
    "a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
    "a chunk too few": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "a bad chunk after one": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"
    ),
}


@pytest.mark.parametrize("name", CUT)
async def test_a_response_that_is_cut_is_not_completed(start, name):
    async with answering(CUT[name]) as (url, _):
        gateway = await start(notifications_url=url)
        answer = await sent(gateway.port, STREAMED)
        assert not answer.endswith(b"0\r\n\r\n")
        assert b"Content-Length: 2".lower() not in answer.lower()
        await at_rest(gateway, "notifications")


@pytest.mark.parametrize("name", ["a chunk too few", "a bad chunk after one"])
async def test_a_cut_response_does_not_end_as_a_whole_one_for_a_client_of_http_10(start, name):
    """Only the connection's end ends its body. So a cut has to be a reset."""
    async with answering(CUT[name], hold=name.startswith("a bad")) as (url, _):
        gateway = await start(notifications_url=url)
        with pytest.raises(ConnectionResetError):
            await sent(gateway.port, STREAMED.replace(b"HTTP/1.1", b"HTTP/1.0"))
        await at_rest(gateway, "notifications")


async def test_a_response_until_the_end_of_the_connection_is_whole(start):
    async with answering(b"HTTP/1.1 200 OK\r\n\r\nall", b" of it") as (url, _):
        gateway = await start(orders_url=url)
        answer = await gateway.http.get("/api/v1/products")
        assert (answer.status_code, answer.text) == (200, "all of it")
        await at_rest(gateway, "orders")


async def test_a_slow_client_gets_all_of_a_large_response(start):
    size = 20_000_000  # more than sockets hold
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with answering(head, b"x" * size) as (url, _):
        gateway = await start(notifications_url=url)
        pool = gateway.server.served(gateway.route("notifications")).pool
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(close(STREAMED))
        await until(lambda: any(not one._transport.is_reading() for one in pool._connections))
        async with asyncio.timeout(60):
            answer = await reader.read()
        assert len(answer.partition(b"\r\n\r\n")[2]) == size
        writer.close()
        await at_rest(gateway, "notifications")


async def test_an_interim_response_is_not_the_final_one(start):
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with answering(early + OK) as (url, _):
        gateway = await start(orders_url=url)
        answer = await gateway.http.get("/api/v1/products")
        assert (answer.status_code, answer.text) == (200, "ok")


async def test_what_follows_a_response_reaches_nobody(start):
    async with answering(OK + OK.replace(b"ok", b"xx"), hold=True) as (url, connections):
        gateway = await start(orders_url=url)
        for _ in range(2):
            answer = await gateway.http.get("/api/v1/products")
            assert answer.text == "ok"
        assert len(connections) == 2, "the connection with the surplus was not used again"


async def test_a_client_that_leaves_while_it_waits_for_a_place_is_forgotten(start):
    async with answering(hold=True) as (url, connections):
        gateway = await start(orders_url=url, upstream_connections=1)
        pool = gateway.server.served(gateway.route("orders")).pool
        writers = []
        for number in range(3):  # equal reads would share one call
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(GET.replace(b"products", b"products?%d" % number))
            writers.append(writer)
        async with asyncio.timeout(5):
            while (pool.busy, pool.waiting) != (1, 2):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        for writer in reversed(writers):
            writer.transport.abort()
        await at_rest(gateway, "orders")
        assert len(connections) == 1


async def test_a_response_before_the_body_is_complete_is_passed_on(start):
    async with answering(OK, hold=True) as (url, connections):
        gateway = await start(users_url=url)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(POST + b"Content-Length: 10\r\n\r\nhello")
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"world" + close(GET).replace(b"products", b"nothing"))
        async with asyncio.timeout(5):
            assert b"HTTP/1.1 404 " in await reader.read()
        writer.close()
        await at_rest(gateway)
        assert len(connections) == 1


async def test_a_body_is_read_no_faster_than_the_service_takes_it(gateway, service):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(close(POST + b"Content-Length: 10\r\n\r\n") + b"hel")
    await until(lambda: service.requests)
    [exchange] = gateway.server.sweep.in_flight
    pool = gateway.server.served(gateway.route("users")).pool
    [connection] = [one for one in pool._connections if one.call is not None]
    connection.pause_writing()
    writer.write(b"lo")
    await until(lambda: exchange.client.flow.read_paused)
    connection.resume_writing()
    assert not exchange.client.flow.read_paused
    writer.write(b"world")
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    assert service.last.body == b"helloworld"
    writer.close()


async def test_the_deadline_while_the_body_streams_ends_both_sides(start):
    async with answering(hold=True) as (url, connections):
        gateway = await start(seconds=0.4, users_url=url)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await at_rest(gateway)
        assert len(connections) == 1


async def test_a_client_whose_body_the_service_does_not_take_is_not_late_itself(start, bearer):
    async with answering(hold=True) as (url, _):
        gateway = await start(seconds=0.4, orders_url=url, upstream_connections=1)
        served = gateway.server.served(gateway.route("orders"))
        holding = served.upstream.request("GET", "/x", fields=[], body=None)
        holds = asyncio.create_task(holding)
        await until(lambda: served.pool.busy == 1)
        head = (
            f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer['Authorization']}"
        )
        request = f"{head}\r\nContent-Length: 500000\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(10):
            writer.write(request + b"x" * 200_000)
            answer = await reader.readuntil(b"\r\n\r\n")
            holds.cancel()
            assert answer.startswith(b"HTTP/1.1 504 ")
            writer.write(b"x" * 300_000 + request)  # and then it is late
            assert b"HTTP/1.1 408 " in await reader.read()
        writer.close()
        await at_rest(gateway, "orders")


async def test_a_bad_request_behind_a_good_one_waits_for_its_response(gateway, service):
    bad = b"GET /api/v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"
    answer = await sent(gateway.port, GET + bad + GET)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert len(service.requests) == 1


async def test_requests_behind_one_with_a_body_get_their_responses_in_order(gateway, service):
    post = POST + b"Content-Length: 5\r\n\r\nhello"
    refused = GET.replace(b"products", b"orders")
    answer = await sent(gateway.port, post + refused + GET + post + close(GET))
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"401", b"200", b"200", b"200"]
    assert [seen.method for seen in service.requests] == ["POST", "GET", "POST", "GET"]


async def test_hundreds_of_refusals_in_one_packet_need_no_deep_stack(gateway):
    refused = GET.replace(b"products", b"orders")
    answer = await sent(gateway.port, refused * 600 + close(refused))
    assert answer.count(b"HTTP/1.1 401 ") == 601
