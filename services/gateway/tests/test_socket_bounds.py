"""Sockets and requests don't starve each other, and a silent socket costs next to nothing."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Network

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chassis.errors import TooManyRequests
from gateway.socket_bounds import SocketBounds, SocketMetrics

HANDSHAKE = (
    b"GET /api/v1/notifications/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EMPTY_PING = b"\x89\x80\0\0\0\0"
HALF_A_MESSAGE = b"\x01\x81\0\0\0\0x"
CLOSE = 0x88


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


async def opened(stack, gateway, **options):
    socket = connect(gateway.websocket_url, proxy=None, **options)
    return await stack.enter_async_context(socket)


async def passed_through(stack, gateway, **options):
    """Open a socket, and make the gateway connect it to the service."""
    socket = await opened(stack, gateway, **options)
    await socket.send("x")
    async with asyncio.timeout(10):
        assert await socket.recv() == "x"
    return socket


async def refusal(stack, gateway, **options):
    with pytest.raises(InvalidStatus) as refused:
        await opened(stack, gateway, **options)
    return refused.value.response


@asynccontextmanager
async def raw(port, *parts):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_more_sockets_than_a_pool_has_connections_leave_requests_theirs(
    gateway, stack, bearer
):
    for _ in range(120):
        await passed_through(stack, gateway)
    answer = await gateway.http.get("/api/v1/notifications", headers=bearer)
    assert answer.status_code == 200
    assert gateway.metric("gateway_websockets") == 120


async def test_requests_that_hold_a_pool_leave_sockets_their_connections(
    start, service, stack, bearer
):
    gateway = await start(upstream_connections=1)
    held = asyncio.create_task(gateway.http.get("/api/v1/notifications?hang", headers=bearer))
    async with asyncio.timeout(5):
        await service.begun.wait()
    await passed_through(stack, gateway)
    held.cancel()


async def test_a_socket_that_has_said_nothing_has_no_connection_to_the_service(
    gateway, service, stack
):
    silent = [await opened(stack, gateway) for _ in range(20)]
    assert not service.requests
    await silent[0].send("x")
    assert await silent[0].recv() == "x"
    assert len(service.requests) == 1


@pytest.mark.parametrize("said", [b"", EMPTY_PING, HALF_A_MESSAGE])
async def test_silent_sockets_are_closed_though_slow_connections_are_held(
    start, service, stack, said
):
    """Also sockets whose clients send no close frame: these hold connections for longer."""
    gateway = await start(first_message_seconds=0.3)
    for _ in range(50):
        await stack.enter_async_context(raw(gateway.port, b"GET / HTTP/1.1\r\nHost: x\r\nX-"))
    silent = [
        await stack.enter_async_context(raw(gateway.port, HANDSHAKE + said)) for _ in range(20)
    ]
    for reader, _ in silent:
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            frames = await reader.read()
        assert head.startswith(b"HTTP/1.1 101 ")
        frames = frames.removeprefix(b"\x8a\x00")  # the pong
        assert frames[0] == CLOSE
        assert int.from_bytes(frames[2:4]) == 4401
    assert not service.requests


async def test_a_silent_socket_gets_the_rule_as_its_reason(start, stack):
    gateway = await start(first_message_seconds=0.2)
    socket = await opened(stack, gateway)
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(5):
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4401,
        "No message came within 0.2 s. Connect again, and send one at once.",
    )


async def test_a_socket_that_has_spoken_may_be_silent_for_longer(start, stack):
    gateway = await start(first_message_seconds=0.1)
    socket = await passed_through(stack, gateway)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await socket.recv()
    await socket.send("y")
    assert await socket.recv() == "y"


async def test_the_silent_sockets_of_an_address_are_limited(start, stack):
    gateway = await start(slipway_limits="on", websockets_silent_per_address=2)
    first = await opened(stack, gateway)
    await opened(stack, gateway)
    refused = await refusal(stack, gateway)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "2 WebSockets" in json.loads(refused.body)["detail"]
    await first.send("x")
    assert await first.recv() == "x"
    await opened(stack, gateway)
    refusals = gateway.process.registry.get_sample_value(
        "gateway_websockets_refused_total", {"bound": "address"}
    )
    assert refusals == 1


async def test_silent_sockets_count_for_the_address_behind_a_trusted_proxy(start, stack):
    gateway = await start(
        slipway_limits="on",
        websockets_silent_per_address=1,
        trusted_proxies=(IPv4Network("127.0.0.1/32"),),
    )
    for address in ("203.0.113.1", "203.0.113.2"):
        sent = {"X-Forwarded-For": address}
        await opened(stack, gateway, additional_headers=sent)
        refused = await refusal(stack, gateway, additional_headers=sent)
        assert refused.status_code == 429


async def test_the_bound_of_an_address_is_lifted_with_the_limits(start, stack):
    gateway = await start(slipway_limits="off", websockets_silent_per_address=1)
    for _ in range(3):
        await opened(stack, gateway)


async def test_the_sockets_of_the_process_are_limited(start, stack):
    gateway = await start(websockets=2)
    await passed_through(stack, gateway)
    last = await passed_through(stack, gateway)
    refused = await refusal(stack, gateway)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    assert "2 WebSockets" in json.loads(refused.body)["detail"]
    assert gateway.metric("gateway_websockets_refused_total", bound="process") == 1
    await last.close()
    await until(lambda: gateway.metric("gateway_websockets") == 1)
    await passed_through(stack, gateway)


async def test_a_client_that_leaves_before_its_first_message_frees_its_place(start, stack):
    gateway = await start(slipway_limits="on", websockets_silent_per_address=1, websockets=1)
    for leave in ("close", "abort"):
        socket = await opened(stack, gateway)
        if leave == "close":
            await socket.close()
        else:
            socket.transport.abort()
        await until(lambda: gateway.metric("gateway_websockets") == 0)


@pytest.fixture
def bounds():
    """Bounds that give each address one silent socket."""
    return SocketBounds(limit=10, limit_silent=1, metrics=SocketMetrics(CollectorRegistry()))


def test_a_socket_that_spoke_frees_one_place_and_not_a_second_at_its_end(bounds):
    with bounds.place("192.0.2.1") as first:
        first.spoke()
        first.spoke()
    with bounds.place("192.0.2.1"), pytest.raises(TooManyRequests):
        bounds.place("192.0.2.1")


def test_the_silent_sockets_of_a_site_of_ipv6_count_together(bounds):
    with bounds.place("2001:db8::1"):
        with pytest.raises(TooManyRequests):
            bounds.place("2001:db8::2")
        with bounds.place("2001:db8:0:1::1"):
            pass


def test_addresses_whose_sockets_have_gone_take_no_memory(bounds):
    for number in range(100):
        with bounds.place(f"192.0.2.{number}"):
            pass
    assert not bounds._silent


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for announces itself to nobody
            await asyncio.sleep(0.01)
