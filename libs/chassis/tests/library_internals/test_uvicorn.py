"""Canaries: uvicorn's protocols have what `chassis.library_internals` and its users rely on."""

import asyncio
import contextlib
import inspect
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import uvicorn._types
import uvicorn.protocols.http.httptools_impl as implementation
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request

from chassis.library_internals.uvicorn import HttpProtocol
from chassis.library_internals.uvicorn_websockets import WebSocketProtocol
from chassis.protocol import BoundedProtocol
from testkit.library_internals import PrivateName

HTTP = implementation.HttpToolsProtocol
CYCLE = implementation.RequestResponseCycle


async def nothing(scope, receive, send):
    del scope, receive, send


def name(owner, attribute, parameters=None, used_by="chassis.library_internals.uvicorn"):
    return PrivateName(
        library="uvicorn", owner=owner, name=attribute, parameters=parameters, used_by=used_by
    )


def configured():
    config = uvicorn.Config(nothing, http="httptools", ws="websockets-sansio", log_config=None)
    config.load()
    return config


def http_protocol():
    loop = asyncio.get_running_loop()
    return HttpProtocol(configured(), ServerState(), {}, _loop=loop)


@pytest.mark.parametrize(
    "one",
    [
        *(
            name(uvicorn._types, kind)
            for kind in (
                "ASGI3Application",
                "ASGIReceiveCallable",
                "ASGISendCallable",
                "ASGISendEvent",
                "Scope",
            )
        ),
        name(HTTP, "__init__", "self, config, server_state, app_state, _loop"),
        name(HTTP, "_should_upgrade", "self"),
        name(HTTP, "_should_upgrade_to_ws", "self"),
        name(HTTP, "_start_asgi_task", "self, cycle, app"),
        name(HTTP, "_unset_keepalive_if_required", "self"),
        name(CYCLE, "send", "self, message", "chassis.unanswered"),
        name(uvicorn.Server, "capture_signals", "self", "chassis.process"),
    ],
    ids=str,
)
def test_uvicorn_has(one):
    one.check()


@pytest.mark.parametrize(
    ("method", "parameters"),
    {
        "connection_made": "self, transport",
        "connection_lost": "self, exc",
        "data_received": "self, data",
        "handle_websocket_upgrade": "self",
        "send_400_response": "self, msg",
        "on_message_begin": "self",
        "on_url": "self, url",
        "on_header": "self, name, value",
        "on_headers_complete": "self",
        "on_body": "self, body",
        "on_message_complete": "self",
        "on_response_complete": "self",
    }.items(),
)
def test_the_protocol_has_the_methods_that_ours_overrides_or_calls(method, parameters):
    name(HTTP, method, parameters, "chassis.protocol").check()


async def test_a_protocol_has_the_attributes_that_ours_reads_and_writes():
    protocol = http_protocol()
    for attribute in (
        *("loop", "parser", "server_state", "connections", "transport", "flow", "headers"),
        *("expect_100_continue", "cycle", "config", "scope", "pipeline"),
        "timeout_keep_alive_task",
    ):
        name(protocol, attribute, used_by="chassis.protocol").check()
    HTTP.on_message_begin(protocol)  # ours makes the scope only once the head is complete
    fault = "is not the list that its scope holds"
    same = protocol.scope["headers"] is protocol.headers
    assert same, name(protocol, "headers", used_by="chassis.protocol").look_at(fault)
    assert protocol.url == b""
    assert protocol.server_state.default_headers == []


async def test_a_connections_attributes_need_no_dictionary_of_their_own():
    protocol = BoundedProtocol(configured(), ServerState(), {}, _loop=asyncio.get_running_loop())
    protocol.on_message_begin()
    fault = "and ours have too many attributes: see `BoundedProtocol.__slots__`"
    assert len(vars(protocol)) <= 30, name(HTTP, "__init__").look_at(fault)


def test_the_flow_of_a_connection_can_be_resumed():
    name(FlowControl, "resume_reading", "self", "chassis.protocol").check()
    flow = FlowControl(asyncio.Transport())
    name(flow, "read_paused", used_by="gateway.path.protocol").check()


async def test_a_cycle_has_the_attributes_that_ours_reads_and_writes():
    scope: Any = {"method": "GET"}
    transport: Any = SimpleNamespace(write=lambda _: None, close=lambda: None)
    flow: Any = SimpleNamespace(write_paused=False)
    logger = logging.getLogger("uvicorn.error")
    cycle = CYCLE(
        scope=scope,
        transport=transport,
        flow=flow,
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[(b"a", b"b")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=False,
        on_response=lambda: None,
    )
    for attribute in ("default_headers", "message_event", "disconnected", "keep_alive"):
        name(cycle, attribute, used_by="chassis.protocol").check()
    name(cycle, "waiting_for_100_continue", used_by="chassis.unanswered").check()
    length = [(b"content-length", b"0")]
    await cycle.send({"type": "http.response.start", "status": 200, "headers": length})
    assert (cycle.response_started, cycle.response_complete) == (True, False)
    await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})
    assert cycle.response_complete, name(cycle, "response_complete").look_at("is not set")


def test_a_status_line_is_whole():
    line = implementation.STATUS_LINE[431]
    where = name(implementation, "STATUS_LINE", used_by="chassis.protocol")
    assert line.startswith(b"HTTP/1.1 431 "), where.look_at(f"is {line!r}")
    assert line.endswith(b"\r\n"), where.look_at(f"is {line!r}")


async def test_every_request_passes_the_method_that_prepares_its_application():
    prepared = []

    class Noted(HttpProtocol):
        def prepared(self, app, cycle):
            prepared.append((app, type(cycle)))
            cycle.disconnected = True  # nobody waits for a response
            return nothing

    protocol = Noted(configured(), ServerState(), {}, _loop=asyncio.get_running_loop())
    transport: Any = SimpleNamespace(is_closing=lambda: True, write=lambda _: None)
    protocol.transport = transport
    protocol.parser.feed_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.gather(*protocol.tasks)
    where = name(HTTP, "_start_asgi_task")
    assert prepared == [(protocol.app, CYCLE)], where.look_at("is not what starts a request")


async def test_whether_a_request_becomes_a_websocket_is_asked_of_one_method():
    taken = []

    class Refusing(HttpProtocol):
        def takes_upgrade(self):
            taken.append(True)
            return True

    protocol = Refusing(configured(), ServerState(), {}, _loop=asyncio.get_running_loop())
    with contextlib.suppress(Exception):  # the parser stops for an upgrade
        protocol.parser.feed_data(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    where = name(HTTP, "_should_upgrade")
    assert taken, where.look_at("is not asked")
    assert protocol.cycle is None, where.look_at("is not obeyed")
    assert protocol.speaks_websocket()


async def test_the_timer_between_requests_can_be_stopped():
    protocol = http_protocol()
    late: list[int] = []
    protocol.timeout_keep_alive_task = asyncio.get_running_loop().call_soon(late.append, 1)
    protocol.stop_keep_alive_timer()
    await asyncio.sleep(0)
    where = name(HTTP, "_unset_keepalive_if_required")
    assert not late, where.look_at("stops no timer")


@pytest.mark.parametrize(
    ("method", "parameters"),
    {
        "__init__": "self, config, server_state, app_state, _loop",
        "handle_connect": "self, event",
        "send": "self, message",
        "shutdown": "self",
    }.items(),
)
def test_the_websocket_protocol_has(method, parameters):
    name(WebSocketsSansIOProtocol, method, parameters, "gateway.handshakes").check()


async def test_a_websocket_protocol_has_the_attributes_that_ours_reads_and_writes():
    loop = asyncio.get_running_loop()
    state = ServerState()
    state.default_headers = [(b"a", b"b")]
    protocol = WebSocketProtocol(configured(), state, {}, _loop=loop)
    used_by = "chassis.library_internals.uvicorn_websockets"
    for attribute in ("app", "close_timeout", "conn", "queue", "writable"):
        name(protocol, attribute, used_by=used_by).check()
    assert protocol.default_headers == [(b"a", b"b")]
    assert isinstance(protocol.close_timeout, float)


@pytest.mark.parametrize(
    ("attribute", "methods"),
    [
        ("queue", {"empty", "get", "put_nowait"}),
        ("writable", {"clear", "set", "wait"}),
        # Only the log line of the handshake reads the scope later; all else is of the handshake.
        ("request", set()),
        ("response", {"headers", "status_code"}),
    ],
)
def test_a_websocket_protocol_uses_no_more_of_what_ours_replaces_or_forgets(attribute, methods):
    source = inspect.getsource(WebSocketsSansIOProtocol)
    used = set(re.findall(rf"self\.{attribute}\.(\w+)", source))
    where = name(WebSocketsSansIOProtocol, "handle_connect", used_by="chassis.websocket_protocol")
    assert used == methods, where.look_at(f"uses other members of {attribute}")


async def test_websockets_refuses_a_malformed_handshake_by_what_is_put_in_place():
    protocol = WebSocketProtocol(configured(), ServerState(), {}, _loop=asyncio.get_running_loop())
    refused = []

    def refusal(status, text):
        refused.append((int(status), text))
        return protocol_reject(status, text)

    protocol_reject = protocol.conn.reject
    protocol.refuse_with(refusal)
    protocol.conn.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    (request,) = protocol.conn.events_received()
    assert isinstance(request, Request)
    protocol.conn.accept(request)
    where = PrivateName(
        library="websockets",
        owner=protocol.conn,
        name="reject",
        used_by="chassis.library_internals.uvicorn_websockets",
    )
    assert [status for status, _ in refused] == [426], where.look_at("makes no refusal")


def test_a_server_captures_signals_by_the_method_that_ours_replaces():
    source = uvicorn.Server.serve.__code__.co_names
    where = name(uvicorn.Server, "capture_signals", used_by="chassis.process")
    assert "capture_signals" in source, where.look_at("is not called by serve")


@pytest.mark.parametrize("kind", [HttpProtocol, WebSocketProtocol])
async def test_a_protocol_has_no_dictionary(kind):
    """A new attribute of uvicorn's needs a slot, too: the dictionary would take 1.6 KB."""
    loop = asyncio.get_running_loop()
    protocol = kind(config=configured(), server_state=ServerState(), app_state={}, _loop=loop)
    assert vars(protocol) == {}
