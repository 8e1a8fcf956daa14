"""Streams of events pass the gateway without deadline and buffer, and end with either side."""

import asyncio
import time
from contextlib import asynccontextmanager

import httpx

from testkit.waiting import until

STREAM = "/api/v1/notifications/stream"


@asynccontextmanager
async def opened(gateway, query="?stream=1", headers=None):
    async with (
        httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client,
        client.stream("GET", STREAM + query, headers=headers or {}) as response,
    ):
        yield response


async def first_event(response):
    async with asyncio.timeout(10):
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                return line
    message = "the stream has ended"
    raise AssertionError(message)


async def test_events_pass_as_they_come(gateway, service):
    async with opened(gateway) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert await first_event(response) == "id: 1"
    async with asyncio.timeout(5):
        await service.disconnected.wait()


async def test_a_browser_that_accepts_nothing_but_events_gets_them(gateway):
    accepted = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, zstd"}
    async with opened(gateway, headers=accepted) as response:
        assert response.status_code == 200
        assert "content-encoding" not in response.headers
        await first_event(response)


async def test_a_stream_outlives_the_deadline_of_its_head(start):
    gateway = await start(seconds=0.3)
    began = time.monotonic()
    async with opened(gateway) as response:
        async for _ in response.aiter_lines():
            if time.monotonic() - began > 0.8:
                return
    message = "the stream has ended"
    raise AssertionError(message)


async def test_a_head_that_is_late_is_504(start):
    gateway = await start(seconds=0.3)
    async with opened(gateway, "?hang") as response:
        assert response.status_code == 504


async def test_a_client_that_leaves_ends_the_stream_of_the_service(start, service):
    gateway = await start()
    async with opened(gateway) as response:
        await first_event(response)
        assert gateway.metric("gateway_streams") == 1
    async with asyncio.timeout(5):
        await service.disconnected.wait()


async def test_a_client_that_does_not_read_stops_the_service_from_sending(gateway, service):
    """Otherwise the gateway would hold what the client does not read."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {STREAM}?stream=1000000 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readline()
    sent = -1
    async with asyncio.timeout(30):
        while sent != service.events:
            sent = service.events
            await asyncio.sleep(0.5)
    assert sent < 100
    writer.transport.abort()
    async with asyncio.timeout(5):
        await service.disconnected.wait()


async def test_streams_are_limited_and_leave_requests_their_connections(start, service, bearer):
    gateway = await start(streams=2, upstream_connections=1)
    async with opened(gateway) as first, opened(gateway) as second:
        await first_event(first)
        await first_event(second)
        async with opened(gateway) as third:
            assert third.status_code == 503
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
            answer = await client.get("/api/v1/notifications", headers=bearer)
        assert answer.status_code == 200
    async with asyncio.timeout(5):
        await service.disconnected.wait()


async def test_a_process_that_stops_ends_streams_as_complete_responses(start):
    gateway = await start()
    async with opened(gateway) as response:
        async with asyncio.timeout(10):
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    gateway.process.stopping.set()


async def test_a_process_that_stops_sends_errors_in_place_of_streams_whole(start, assert_problem):
    gateway = await start()
    async with opened(gateway) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                gateway.process.stopping.set()
    last = {"Connection": "close"}  # so the server ends connections then
    answer = await gateway.http.get(STREAM, headers=last | {"Authorization": "Bearer no.token"})
    assert_problem(answer, 401, "unauthenticated")
    answer = await gateway.http.get(STREAM + "?status=409&length=11", headers=last)
    assert (answer.status_code, answer.json()) == (409, {"part": 0})


async def test_a_stream_that_begins_while_the_process_stops_is_ended_at_once(start):
    gateway = await start()
    async with opened(gateway) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                gateway.process.stopping.set()
    async with opened(gateway) as response, asyncio.timeout(10):
        await response.aread()
    assert response.status_code == 200


async def test_the_ticket_reaches_the_service_and_no_log(gateway, service, capsys):
    async with opened(gateway, "?stream=1&ticket=secret-ticket") as response:
        assert response.headers["cache-control"] == "private, no-cache"
        await first_event(response)
    async with asyncio.timeout(5):
        await service.disconnected.wait()
    async with opened(gateway, "?status=503&ticket=secret-ticket"):
        pass
    written = capsys.readouterr()
    assert service.last.query == "status=503&ticket=secret-ticket"
    assert STREAM in written.out + written.err
    assert "secret-ticket" not in written.out + written.err


async def test_a_token_is_optional_and_checked_if_it_is_sent(gateway, bearer):
    async with opened(gateway, headers=bearer) as response:
        assert response.status_code == 200
    for credential in ("Bearer no.such.token", "Bearer", "Basic YTpi"):
        async with opened(gateway, headers={"Authorization": credential}) as response:
            assert response.status_code == 401


async def test_other_methods_do_not_pass_without_a_token(gateway):
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
        assert (await client.post(STREAM)).status_code in {401, 405}


async def test_only_the_time_to_the_head_of_a_stream_is_measured(start):
    gateway = await start()
    async with opened(gateway) as response:
        await first_event(response)
        await asyncio.sleep(1.2)

    def seconds():
        labels = {"method": "GET", "route": STREAM, "status": "200"}
        return gateway.metric("http_server_request_duration_seconds_sum", **labels)

    await until(lambda: seconds() is not None)
    assert seconds() < 1.2


async def test_streams_that_do_not_begin_open_the_breaker(start, assert_problem):
    gateway = await start(notifications_url="http://127.0.0.1:1")
    for _ in range(20):
        assert (await gateway.http.get(STREAM)).status_code == 503
    assert gateway.metric("gateway_upstream_breaker_state", service="notifications") == 2
    assert_problem(await gateway.http.get(STREAM), 503, "unavailable")
    shed = {"service": "notifications", "reason": "breaker"}
    assert gateway.metric("gateway_upstream_shed_total", **shed) == 1


async def test_an_open_stream_is_no_request_in_flight(start):
    """Otherwise hours of streams would hold the places of requests."""
    gateway = await start(upstream_concurrency=1)
    async with opened(gateway) as first, opened(gateway) as second:
        await first_event(first)
        await first_event(second)
        assert gateway.metric("gateway_upstream_in_flight", service="notifications") == 0
        assert gateway.metric("gateway_streams") == 2


async def test_a_stream_whose_service_is_silent_is_ended_as_a_complete_response(start, service):
    gateway = await start(stream_idle_timeout=0.3)
    async with opened(gateway, "?stream=1&most=3") as response, asyncio.timeout(10):
        lines = [line async for line in response.aiter_lines() if line.startswith("id: ")]
    assert len(lines) == 3
    assert gateway.metric("gateway_streams_idle_total") == 1
    assert gateway.metric("gateway_streams") == 0
    async with asyncio.timeout(5):
        await service.disconnected.wait()


async def test_each_event_of_a_stream_begins_the_wait_anew(start):
    gateway = await start(stream_idle_timeout=0.3)
    began = time.monotonic()
    async with opened(gateway) as response:
        async for _ in response.aiter_lines():
            if time.monotonic() - began > 1:
                break
    assert gateway.metric("gateway_streams_idle_total") == 0
