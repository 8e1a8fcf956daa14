"""What the gateway's tests share: a service that tells what it got, and gateways in front of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from pydantic import SecretStr

from chassis.process import Process, _server
from chassis.servers import ValkeyServer
from chassis.servers.base import free_port
from chassis.settings import Environment
from chassis.testing import TestTokens
from chassis.testing.tokens import ISSUER
from gateway.app import create_app
from gateway.routes import ROUTES
from gateway.settings import GatewaySettings


@asynccontextmanager
async def serving(app, *, lifespan="on"):
    """Serve `app` as a process does, and give its port."""
    port = free_port()
    server = _server(app, host="127.0.0.1", port=port, lifespan=lifespan, timeout=1)
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.005)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


@dataclass
class Seen:
    """A request as the service got it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = False

    def values(self, name):
        return [value for key, value in self.headers if key == name]


@dataclass
class Service:
    """A service that answers what the query asks for, and remembers what it got."""

    requests: list[Seen] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    closed_with: asyncio.Queue[tuple[int, str]] = field(default_factory=asyncio.Queue)
    documents: dict[str, Any] = field(default_factory=dict)
    asked_documents: int = 0
    url: str = ""

    @property
    def last(self):
        return self.requests[-1]

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope, receive, send):
        if scope["path"] == "/openapi.json":
            await self._document(send)
            return
        seen = Seen(
            method=scope["method"],
            path=scope["raw_path"].decode(),
            query=scope["query_string"].decode(),
            headers=[(name.decode(), value.decode()) for name, value in scope["headers"]],
        )
        self.requests.append(seen)
        self.begun.set()
        while not seen.whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.set()
                return
            seen.body += message["body"]
            seen.whole = not message["more_body"]
        wish = dict(parse_qsl(seen.query, keep_blank_values=True))
        if "hang" in wish:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        await self._answer(send, wish)

    async def _answer(self, send, wish):
        status = int(wish.get("status", 200))
        headers = [
            (b"content-type", b"application/json"),
            (b"server", b"hidden"),
            (b"x-request-id", b"of-the-service"),
            (b"connection", b"x-hop"),
            (b"x-hop", b"1"),
            (b"keep-alive", b"timeout=5"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"etag", b'"7"'),
        ]
        if "length" in wish:
            headers.append((b"content-length", wish["length"].encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if status == 304:
            await send({"type": "http.response.body", "body": b""})
            return
        parts = int(wish.get("parts", 1))
        for part in range(parts):
            body = b'{"part": %d}' % part
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if "break" in wish:
                message = "the service breaks off"
                raise ConnectionAbortedError(message)
        await send({"type": "http.response.body", "body": b""})

    async def _document(self, send):
        self.asked_documents += 1
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(self.documents).encode()})

    async def _websocket(self, scope, receive, send):
        self.requests.append(
            Seen(
                method="WEBSOCKET",
                path=scope["raw_path"].decode(),
                query=scope["query_string"].decode(),
                headers=[(name.decode(), value.decode()) for name, value in scope["headers"]],
            )
        )
        await receive()
        if b"refuse" in scope["query_string"]:
            await send({"type": "websocket.close"})
            return
        subprotocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                await self.closed_with.put((message["code"], message.get("reason")))
                return
            text = message.get("text")
            if text is not None and text.startswith("close "):
                code, reason = text.split()[1:]
                await send({"type": "websocket.close", "code": int(code), "reason": reason})
                return
            if text is not None and text.startswith("send "):
                await send({"type": "websocket.send", "text": "x" * int(text.split()[1])})
                continue
            await send({**message, "type": "websocket.send"})


@pytest.fixture(name="serving")
def _serving():
    """Serves an app, as a context manager that gives the port."""
    return serving


@pytest.fixture(scope="session")
async def served() -> AsyncIterator[Service]:
    """The one service of the run: to start and stop one takes longer than most tests."""
    service = Service()
    async with serving(service, lifespan="off") as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service


@pytest.fixture
def service(served: Service) -> Service:
    """The service, which has seen nothing yet."""
    fresh = Service(url=served.url)
    vars(served).update(vars(fresh))
    return served


@pytest.fixture(scope="session")
async def valkey(tmp_path_factory) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(directory=tmp_path_factory.mktemp("valkey"), port=free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def settings(served, tokens) -> GatewaySettings:
    return GatewaySettings(
        environment=Environment.DEVELOPMENT,
        auth_issuer=ISSUER,
        kafka_bootstrap_servers="127.0.0.1:1",  # it serves without Kafka, too
        auth_jwks_file=tokens.jwks_file,
        users_url=served.url,
        orders_url=served.url,
        notifications_url=served.url,
        valkey_url=SecretStr("valkey://127.0.0.1:1/0"),
        slipway_limits="off",
    )


@dataclass
class Running:
    """A gateway that serves."""

    port: int
    process: Process
    http: httpx.AsyncClient

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self):
        return f"ws://127.0.0.1:{self.port}/api/v1/notifications/ws"

    def metric(self, name):
        return self.process.registry.get_sample_value(name)


@asynccontextmanager
async def running(settings, routes=ROUTES) -> AsyncIterator[Running]:
    process = Process(name="gateway", settings=settings)
    # A process makes its app before its loop runs, and may read files for that.
    app = await asyncio.to_thread(create_app, settings, process, routes)
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        yield Running(port=port, process=process, http=http)


@pytest.fixture
async def start(settings):
    """Starts gateways with settings of their own; all are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def started(*, seconds=None, **changes) -> Running:
            routes = [
                route if seconds is None else replace(route, timeout=seconds) for route in ROUTES
            ]
            own = settings.model_copy(update=changes)
            return await stack.enter_async_context(running(own, routes))

        yield started


@pytest.fixture(scope="session")
async def gateway(settings) -> AsyncIterator[Running]:
    """A gateway without anything special."""
    async with running(settings) as gateway:
        yield gateway


@pytest.fixture
def bearer(tokens: TestTokens) -> dict[str, str]:
    return tokens.headers()


@pytest.fixture
def assert_problem():
    """Checks that an answer is a problem of a certain name, and gives it."""
    return _problem


def _problem(answer, status, name):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].rpartition("/")[2] == name
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
