"""Fixtures of the gateway's tests: a service that records requests, and gateways in front of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.process import Process, Protocols, _server
from chassis.settings import Environment
from gateway.app import create_app, protocols_of
from gateway.edge import Edge
from gateway.ended_sessions import SessionsEnded
from gateway.routes import ROUTES
from gateway.settings import GatewaySettings
from localservers import ValkeyServer
from localservers.ports import free_port
from testkit.tokens import AUDIENCE, ISSUER, TestTokens

DEFAULT = Protocols()
# More than any limit of the gateway: on a loaded machine, httpx's own 5 s passed first.
_CLIENT_SECONDS = 120


@asynccontextmanager
async def serving(app, *, lifespan="on", protocols=DEFAULT):
    """Serve `app` as a process does, and yield its port."""
    port = free_port()
    server = _server(
        app, host="127.0.0.1", port=port, lifespan=lifespan, timeout=1, protocols=protocols
    )
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.005)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


def texts(fields):
    return [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in fields]


@dataclass
class Seen:
    """A request as the service received it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = False

    def values(self, name):
        return [value for key, value in self.headers if key == name]

    def raw(self, name):
        return [value.encode("utf-8", "surrogateescape") for value in self.values(name)]


@dataclass
class Service:
    """A service that responds as the query says, and records what it received."""

    requests: list[Seen] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    closed_with: asyncio.Queue[tuple[int, str]] = field(default_factory=asyncio.Queue)
    documents: dict[str, Any] | bytes = field(default_factory=dict)
    asked_documents: int = 0
    events: int = 0
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
            headers=texts(scope["headers"]),
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
        if "stream" in wish:
            most = int(wish.get("most", 1_000_000))
            await self._stream(receive, send, size=int(wish["stream"]), most=most)
            return
        if "hang" in wish:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        await self._answer(send, wish)

    async def _stream(self, receive, send, *, size, most):
        """Send an event of `size` bytes each 10 ms, `most` of them, until the client has gone."""
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(receive())
        while not gone.done():
            if self.events == most:
                await gone
                break
            self.events += 1
            body = b"id: %d\ndata: %b\n\n" % (self.events, b"x" * size)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.wait([gone], timeout=0.01)
        self.disconnected.set()

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
        if "cache" in wish:
            headers.append((b"cache-control", wish["cache"].encode()))
        if "allow" in wish:
            headers.append((b"allow", wish["allow"].encode()))
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
        text = self.documents
        body = text if isinstance(text, bytes) else json.dumps(text).encode()
        await send({"type": "http.response.body", "body": body})

    async def _websocket(self, scope, receive, send):
        self.requests.append(
            Seen(
                method="WEBSOCKET",
                path=scope["raw_path"].decode(),
                query=scope["query_string"].decode(),
                headers=texts(scope["headers"]),
            )
        )
        await receive()
        wish = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        if "refuse" in wish:
            answer = {"status": int(wish["refuse"]), "headers": []}
            await send({"type": "websocket.http.response.start", **answer})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        subprotocol = None
        if scope["subprotocols"] and "mute" not in wish:
            subprotocol = scope["subprotocols"][-1]
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
            for _ in range(5 if text == "later" else 0):
                await asyncio.sleep(0.5)
                await send({"type": "websocket.send", "text": text})
            await send({**message, "type": "websocket.send"})


@pytest.fixture(name="serving")
def _serving():
    """Serve an app, as a context manager that yields the port."""
    return serving


@pytest.fixture(scope="session")
async def served() -> AsyncIterator[Service]:
    """One service for the whole run: starting and stopping it takes longer than most tests."""
    service = Service()
    async with serving(service, lifespan="off") as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service


@pytest.fixture
def service(served: Service) -> Service:
    """The service, with no recorded requests."""
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
        kafka_bootstrap_servers="127.0.0.1:1",  # the gateway also serves without Kafka
        auth_jwks_file=tokens.jwks_file,
        users_url=served.url,
        orders_url=served.url,
        notifications_url=served.url,
        valkey_url=SecretStr("valkey://127.0.0.1:1/0"),
        upstream_warm_seconds=0,  # the tests' services see the connections of requests only
        valkey_timeout=5.0,  # on a loaded machine it may be late, and the tests count exactly
        slipway_limits="off",
    )


@dataclass
class Running:
    """A gateway that serves."""

    port: int
    process: Process
    http: httpx.AsyncClient
    app: Edge

    @property
    def server(self):
        """What all exchanges share."""
        return self.app.server

    def route(self, service):
        """Return a route that has its requests answered by the service."""
        paths = {
            "users": "/api/v1/auth/token",
            "orders": "/api/v1/products",
            "notifications": "/api/v1/notifications/unsubscribe",
        }
        method = "POST" if service == "users" else "GET"
        return self.app.proxied(method, paths[service].encode(), [])[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self):
        return f"ws://127.0.0.1:{self.port}/api/v1/notifications/ws"

    def metric(self, name, **labels):
        return self.process.registry.get_sample_value(name, labels)


@asynccontextmanager
async def running(settings, routes=ROUTES) -> AsyncIterator[Running]:
    process = Process(name="gateway", settings=settings)
    # A process creates its app before its loop runs, so creating it may read files.
    app = await asyncio.to_thread(create_app, settings, process, routes)
    async with (
        serving(app, protocols=protocols_of(app)) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=_CLIENT_SECONDS
        ) as http,
    ):
        yield Running(port=port, process=process, http=http, app=app)


@pytest.fixture(name="running", scope="session")
def _running():
    """Serve a gateway with the given settings, as a context manager that yields it."""
    return running


@pytest.fixture
async def start(settings):
    """Start gateways with the given settings; all are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def started(
            *, seconds=None, first_message_seconds=None, subprotocols=None, **changes
        ) -> Running:
            terms = {
                "timeout": seconds,
                "first_message_seconds": first_message_seconds,
                "subprotocols": subprotocols,
            }
            given = {name: term for name, term in terms.items() if term is not None}
            routes = [replace(route, **given) for route in ROUTES]
            own = settings.model_copy(update=changes)
            return await stack.enter_async_context(running(own, routes))

        yield started


@pytest.fixture(scope="session")
async def gateway(settings) -> AsyncIterator[Running]:
    """A gateway with the tests' default settings."""
    async with running(settings) as gateway:
        yield gateway


@pytest.fixture
async def revoke(topics, tokens):
    """Publish that the session of a token has ended."""
    await topics.create([SessionsEnded.topic.name], partitions=1)
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)

    async def send(token):
        session = verifier.verify(token).session_id
        event = {"sids": [str(session)], "revoked_at": datetime.now(UTC).isoformat()}
        producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
        await producer.start()
        try:
            topic = topics.prefix + SessionsEnded.topic.name
            await producer.send_and_wait(topic, json.dumps(event).encode())
        finally:
            await producer.stop()

    return send


@pytest.fixture
def bearer(tokens: TestTokens) -> dict[str, str]:
    return tokens.headers()


@pytest.fixture
def assert_problem():
    """Assert that a response is a problem with this name, and return it."""
    return _problem


def _problem(answer, status, name):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].rpartition("/")[2] == name
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
