"""A WebSocket handshake that fails unexpectedly gets the same response as a request that fails."""

import asyncio
import json
import logging
from functools import partial

import asyncpg
import pytest
from opentelemetry import trace
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from chassis.database.infrastructure import mark_infrastructure
from chassis.http.context import RequestContext
from chassis.http.metrics import HttpMetrics
from chassis.process import Protocols
from chassis.protocol import BoundedProtocol
from gateway.addresses import Addresses
from gateway.admission import Admission
from gateway.handshakes import Handshakes
from gateway.relays import Relays
from gateway.routes import ROUTES, WEBSOCKET, RouteTable
from gateway.socket_bounds import SocketBounds, SocketMetrics
from gateway.tracing import ROUTE, Traces
from gateway.websockets import Sockets
from testkit.logs import own_logs

COMMON = (b"x-content-type-options", b"nosniff")
PATH = "/api/v1/notifications/ws"


class Failing(Admission):
    """An admission that always raises."""

    def __init__(self, error):
        self.error = error

    async def admit(self, _scope, _head, _route):
        raise self.error


@pytest.fixture
def registry():
    return CollectorRegistry()


def failing(registry, error):
    """Make an application whose handshakes all fail with `error`."""
    addresses = Addresses(())
    sockets = Sockets(
        upstreams={},
        guards={},
        admission=Failing(error),
        addresses=addresses,
        bounds=SocketBounds(limit=1, limit_silent=1, metrics=SocketMetrics(registry)),
        relays=Relays(idle_seconds=60, registry=registry),
        traces=Traces(tracer=trace.get_tracer("test"), addresses=addresses, trust_clients=False),
    )
    served = RequestContext(sockets, metrics=HttpMetrics(registry))
    table = RouteTable(ROUTES)

    async def app(scope, receive, send):
        scope[ROUTE] = table.find(WEBSOCKET, scope["path"])
        await served(scope, receive, send)

    return app


PROTOCOLS = Protocols(
    http=BoundedProtocol,
    websocket=partial(Handshakes, common_fields=lambda _: [COMMON]),
    common_fields=lambda _: [COMMON],
)


async def refused(port):
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None):
            pass
    return refusal.value.response


@pytest.mark.parametrize(
    ("error", "level", "status", "name"),
    [
        (LookupError("secret"), "error", 500, "internal-server-error"),
        (asyncpg.ConnectionDoesNotExistError("secret"), "error", 500, "internal-server-error"),
        (mark_infrastructure(OSError("secret")), "warning", 503, "unavailable"),
    ],
)
async def test_it_is_a_problem_logged_once(serving, registry, caplog, error, level, status, name):
    with own_logs() as logs, caplog.at_level(logging.ERROR, logger="uvicorn"):
        async with serving(failing(registry, error), lifespan="off", protocols=PROTOCOLS) as port:
            response = await refused(port)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    problem = json.loads(response.body)
    assert problem["type"].rpartition("/")[2] == name
    assert (problem["status"], problem["instance"]) == (status, PATH)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert b"secret" not in response.body
    problems_logged = [entry for entry in logs if entry["log_level"] in {"warning", "error"}]
    assert [entry["log_level"] for entry in problems_logged] == [level]
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_neither_connection_nor_place_is_left(serving, registry):
    head = (
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    app = failing(registry, LookupError())
    async with serving(app, lifespan="off", protocols=PROTOCOLS) as port:
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode())
            answer = await reader.read()  # until the connection ends
            assert answer.startswith(b"HTTP/1.1 500 ")
            writer.close()
        assert registry.get_sample_value("gateway_websockets") == 0
