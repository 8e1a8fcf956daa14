import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.utils import accept_key

from gateway.guards.guard import Result
from gateway.websockets import _guarded
from testkit.waiting import until

NOWHERE = "http://127.0.0.1:1"


def open_socket(gateway, query="", **options):
    return connect(gateway.websocket_url + query, proxy=None, **options)


async def passed_through(socket):
    """Make the gateway connect to the service, which it does at the first message."""
    await socket.send("x")
    assert await socket.recv() == "x"
    return socket


async def closing_of(socket):
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(5):
            await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_messages_pass_both_ways_as_what_they_are(gateway):
    async with open_socket(gateway) as socket:
        await socket.send("text é")
        assert await socket.recv() == "text é"
        await socket.send(b"\x00bytes")
        assert await socket.recv() == b"\x00bytes"
        await socket.send("")
        assert await socket.recv() == ""


async def test_the_handshake_carries_what_a_request_does(gateway, service):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-User-Id": "1", "X-Request-ID": "mine-1"}
    async with open_socket(gateway, "?a=%2F", additional_headers=forged) as socket:
        assert socket.response.headers["X-Request-ID"] == "mine-1"
        await passed_through(socket)
    seen = service.last
    assert (seen.path, seen.query) == ("/api/v1/notifications/ws", "a=%2F")
    assert seen.values("x-forwarded-for") == ["127.0.0.1"]
    assert seen.values("x-request-id") == ["mine-1"]
    assert seen.values("x-user-id") == []
    assert len(seen.values("sec-websocket-key")) == 1
    # Those of the client's handshake are for the gateway.
    assert socket.request.headers["Sec-WebSocket-Extensions"]
    assert seen.values("sec-websocket-extensions") == []


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["one", "two"], "two"),
        (["two", "three"], "two"),
        (["three", "two"], "three"),
        (["one"], None),
        (None, None),
    ],
)
async def test_the_gateway_chooses_the_first_subprotocol_that_the_service_supports(
    start, service, offered, chosen
):
    gateway = await start(subprotocols=frozenset({"two", "three"}))
    async with open_socket(gateway, subprotocols=offered) as socket:
        assert socket.subprotocol == chosen
        await passed_through(socket)
    assert service.last.values("sec-websocket-protocol") == ([chosen] if chosen else [])


async def test_a_service_that_does_not_speak_its_subprotocol_is_1014(start, service):
    gateway = await start(subprotocols=frozenset({"two"}))
    async with open_socket(gateway, "?mute", subprotocols=["two"]) as socket:
        await socket.send("x")
        assert await closing_of(socket) == (
            1014,
            "The service did not accept the subprotocol two. Connect without it.",
        )
        async with asyncio.timeout(5):
            assert await service.closed_with.get() == (1002, "")


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4401, 4999])
async def test_the_services_close_code_reaches_the_client(gateway, code):
    async with open_socket(gateway) as socket:
        await socket.send(f"close {code} because")
        assert await closing_of(socket) == (code, "because")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4000])
async def test_the_clients_close_code_reaches_the_service(gateway, service, code):
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        await socket.close(code, "enough")
    async with asyncio.timeout(5):
        assert await service.closed_with.get() == (code, "enough")


async def test_a_client_that_vanishes_counts_as_going_away(gateway, service):
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        socket.transport.abort()
        async with asyncio.timeout(5):
            code, _ = await service.closed_with.get()
    assert code in {1000, 1001}


async def test_a_message_that_is_too_large_is_1009_from_the_client(gateway, service):
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        await socket.send("x" * 65_537)
        assert (await closing_of(socket))[0] == 1009
    async with asyncio.timeout(5):
        assert (await service.closed_with.get())[0] == 1009


async def test_a_message_that_is_too_large_is_1009_from_the_service(gateway):
    async with open_socket(gateway) as socket:
        await socket.send("send 70000")
        assert (await closing_of(socket))[0] == 1009


async def test_the_largest_message_passes(gateway):
    async with open_socket(gateway) as socket:
        await socket.send("x" * 65_536)
        assert len(await socket.recv()) == 65_536


async def test_pings_get_a_pong(gateway):
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        async with asyncio.timeout(5):
            await (await socket.ping())


async def test_an_unavailable_service_is_1013(start):
    gateway = await start(notifications_url=NOWHERE)
    async with open_socket(gateway) as socket:
        await socket.send("x")
        assert (await closing_of(socket))[0] == 1013


async def test_a_service_that_stops_is_1012(start, service, serving):
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(service, lifespan="off"))
        gateway = await start(notifications_url=f"http://127.0.0.1:{port}")
        async with open_socket(gateway) as socket:
            await passed_through(socket)
            await stack.aclose()
            assert (await closing_of(socket))[0] == 1012


async def upgraded(reader, writer):
    """Respond to a handshake, and return whether one came."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:  # the connection that was opened before any request
        writer.close()
        return False
    (key,) = re.findall(r"(?i)sec-websocket-key: (\S+)", head.decode())
    accept = accept_key(key).encode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    await writer.drain()
    return True


async def test_a_service_that_dies_is_1013(start):
    async def die(reader, writer):
        if await upgraded(reader, writer):
            await reader.read(10)
            writer.transport.abort()

    server = await asyncio.start_server(die, "127.0.0.1", 0)
    async with server:
        gateway = await start(
            notifications_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        )
        async with open_socket(gateway) as socket:
            await socket.send("x" * 100)
            assert (await closing_of(socket))[0] == 1013


async def test_a_service_that_no_longer_responds_to_pings_is_1013(start, monkeypatch):
    monkeypatch.setattr("gateway.upstreams._HEARTBEAT_SECONDS", 0.2)

    async def hang(reader, writer):
        if await upgraded(reader, writer):
            await reader.read()
            writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        gateway = await start(
            notifications_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        )
        async with open_socket(gateway) as socket:
            await socket.send("x")
            assert (await closing_of(socket))[0] == 1013


@pytest.mark.parametrize("status", [401, 403, 404, 429])
async def test_a_handshake_that_the_service_refuses_is_4000_and_its_status(gateway, status):
    async with open_socket(gateway, f"?refuse={status}") as socket:
        await socket.send("x")
        code, reason = await closing_of(socket)
    assert code == 4000 + status
    assert str(status) in reason


@pytest.mark.parametrize("status", [500, 503])
async def test_a_service_that_fails_in_the_handshake_is_1013(gateway, status):
    async with open_socket(gateway, f"?refuse={status}") as socket:
        await socket.send("x")
        assert (await closing_of(socket))[0] == 1013


async def test_a_socket_that_no_route_names_is_404(gateway, service):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{gateway.port}/api/v1/products", proxy=None):
            pass
    assert refused.value.response.status_code == 404
    assert not service.requests


async def test_a_socket_whose_path_could_leave_its_prefix_is_400(gateway, service):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{gateway.websocket_url}/%2e%2e/ws", proxy=None):
            pass
    assert refused.value.response.status_code == 400
    assert not service.requests


async def test_a_service_that_does_not_finish_the_handshake_is_1013(start):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gateway = await start(notifications_url=url, seconds=0.2)
        async with open_socket(gateway) as socket:
            await socket.send("x")
            assert (await closing_of(socket))[0] == 1013


async def test_handshakes_count_against_the_limit(start):
    gateway = await start(slipway_limits="on", limit_default="1/minute")
    async with open_socket(gateway):
        pass
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(gateway):
            pass
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["retry-after"]) >= 1


async def test_handshakes_with_the_service_that_fail_open_the_breaker(start):
    gateway = await start(notifications_url=NOWHERE)
    for _ in range(21):
        async with open_socket(gateway) as socket:
            await socket.send("x")
            assert (await closing_of(socket))[0] == 1013
    assert gateway.metric("gateway_upstream_breaker_state", service="notifications") == 2
    failed = {"service": "notifications", "kind": "unreachable"}
    assert gateway.metric("gateway_upstream_failures_total", **failed) == 20, (
        "the last was not sent"
    )


class Results:
    """A guard that notes the results of handshakes."""

    def __init__(self):
        self.results = []

    def begin(self, _now):
        return 1

    def end(self, _permit, _now, result, *, seconds):
        assert seconds >= 0
        self.results.append(result)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (asyncio.CancelledError(), Result.UNKNOWN),
        (TimeoutError(), Result.TIMED_OUT),
        (OSError(), Result.FAILED),
    ],
)
def test_a_handshake_that_its_client_gives_up_is_no_failure_of_the_service(error, result):
    guard: Any = Results()
    with pytest.raises(type(error)), _guarded(guard):
        raise error
    assert guard.results == [result]


async def test_a_service_that_refuses_a_handshake_is_there(start):
    gateway = await start()
    for _ in range(21):
        async with open_socket(gateway, "?refuse=403") as socket:
            await socket.send("x")
            assert (await closing_of(socket))[0] == 4403
    assert gateway.metric("gateway_upstream_breaker_state", service="notifications") == 0


async def test_an_open_socket_is_no_request_in_flight(start):
    gateway = await start(upstream_concurrency=1)
    async with open_socket(gateway) as first, open_socket(gateway) as second:
        await passed_through(first)
        await passed_through(second)
        assert gateway.metric("gateway_upstream_in_flight", service="notifications") == 0


async def test_a_socket_on_which_nothing_is_sent_is_1001(start, service):
    gateway = await start(websocket_idle_timeout=0.5)
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        assert await closing_of(socket) == (
            1001,
            "Nothing was sent for 0.5 s. Connect again when needed.",
        )
    async with asyncio.timeout(5):
        code, _ = await service.closed_with.get()
    assert code == 1001
    assert gateway.metric("gateway_websockets_idle_total") == 1
    await until(lambda: gateway.metric("gateway_websockets") == 0)


async def test_a_pong_of_the_client_is_life(start):
    gateway = await start(websocket_idle_timeout=1.5)
    async with open_socket(gateway) as socket:
        await passed_through(socket)
        for _ in range(6):
            await socket.pong()
            await asyncio.sleep(0.5)
        await passed_through(socket)
        assert gateway.metric("gateway_websockets_idle_total") == 0
        assert (await closing_of(socket))[0] == 1001


async def test_messages_of_the_service_are_life(start):
    gateway = await start(websocket_idle_timeout=1.5)
    async with open_socket(gateway, ping_interval=None) as socket:
        await passed_through(socket)
        await socket.send("later")
        async with asyncio.timeout(5):
            assert [await socket.recv() for _ in range(5)] == ["later"] * 5
        assert gateway.metric("gateway_websockets_idle_total") == 0
