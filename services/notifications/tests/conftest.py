"""Fixtures of notifications' tests: its app, its sockets, and messages for its worker."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from polyfactory.factories.pydantic_factory import ModelFactory
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect

from chassis.api import create_api
from chassis.auth import Principal
from chassis.database import new_id
from chassis.messaging.consuming.batch import BatchRunner
from chassis.process import Process, _server
from chassis.service import Service
from chassis.wiring import ServiceResources
from contracts import Event
from contracts.orders import OrderPlaced
from notifications.declaration import SERVICE
from notifications.dispatch.wiring import WorkerResources
from notifications.feed.models import FeedMetrics
from notifications.feed.service import Connections
from notifications.kinds.wiring import SCOPE
from notifications.settings import NotificationsSettings
from testkit.documented_responses import documented_by
from testkit.messages import record_of
from testkit.tokens import TestTokens
from testkit.waiting import until

ABSENT = object()

WAITING = (
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)

type Consume = Callable[..., Awaitable[tuple[int, Exception | None]]]
type Socket = Callable[..., AbstractAsyncContextManager["FeedClient"]]


class OrderPlacedFactory(ModelFactory[OrderPlaced]):
    version = 1


@pytest.fixture(scope="session")
def declaration() -> Service[WorkerResources]:
    return SERVICE


@pytest.fixture
def resources(worker_resources: ServiceResources) -> ServiceResources:
    """The worker process's resources."""
    return worker_resources


@pytest.fixture
def consume(batches: BatchRunner[Any]) -> Consume:
    """Handle events with the worker's subscriptions, as one batch of one partition."""

    async def run(*events: Event, **given: Any):
        return await batches.run([record_of(event, **given) for event in events])

    return run


@dataclass(kw_only=True)
class Server:
    """The API on a real server."""

    app: FastAPI
    process: Process
    port: int
    stop: Callable[[], None]
    query: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self, max_queue: int | None = None) -> AbstractAsyncContextManager["FeedClient"]:
        url = f"ws://127.0.0.1:{self.port}/api/v1/notifications/ws{self.query}"
        return open_feed(url, max_queue)

    @property
    def connections(self) -> Any:
        return self.app.state.resources.connections


@asynccontextmanager
async def serving(settings: NotificationsSettings) -> AsyncIterator[Server]:
    """Serve the app with uvicorn, as the process does, on a free port."""
    process = Process(name="notifications", settings=settings)
    app = create_api(SERVICE, settings, process)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = _server(app, host="127.0.0.1", port=port, lifespan="on", timeout=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listening]))

            def stop() -> None:
                process.stopping.set()
                server.should_exit = True

            try:
                yield Server(app=app, process=process, port=port, stop=stop)
            finally:
                stop()


@pytest.fixture
async def server(settings: NotificationsSettings) -> AsyncIterator[Server]:
    async with serving(settings) as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One server-sent event."""

    event: str
    id: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class StreamClient:
    """One stream of server-sent events, as a client sees it."""

    def __init__(self, response: httpx.Response) -> None:
        self.retry: int | None = None
        self._response = response
        self._lines = response.aiter_lines()

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> httpx.Headers:
        return self._response.headers

    async def problem(self) -> Any:
        return json.loads(await self._response.aread())

    async def block(self, seconds: float = 5) -> str:
        """Wait for the next lines up to an empty one; return an empty text at the end."""
        lines: list[str] = []
        async with asyncio.timeout(seconds):
            async for line in self._lines:
                if not line:
                    break
                lines.append(line)
        return "\n".join(lines)

    async def next(self, seconds: float = 5) -> StreamEvent:
        """Wait for the next event; keep what `retry` says."""
        async with asyncio.timeout(seconds):
            while True:
                block = await self.block(seconds)
                assert block, "the stream has ended"
                fields = dict(line.split(": ", 1) for line in block.splitlines())
                if "retry" in fields:
                    self.retry = int(fields["retry"])
                if "data" in fields:
                    return StreamEvent(
                        event=fields["event"], id=fields.get("id", ""), data=fields["data"]
                    )

    async def ids(self, count: int) -> list[int]:
        """Wait for this many items; return their event ids."""
        events = [await self.next() for _ in range(count)]
        assert all(event.event == "notification" for event in events), events
        return [int(event.id) for event in events]

    async def ended(self, seconds: float = 5) -> bool:
        """Wait until the stream ends, without a further event."""
        async with asyncio.timeout(seconds):
            while block := await self.block(seconds):
                assert block.startswith(("retry: ", ":")), block
                if block.startswith("retry: "):
                    self.retry = int(block.removeprefix("retry: "))
        return True


class FeedClient:
    """One socket, as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **body: Any) -> None:
        await self.connection.send(json.dumps(body))

    async def next(self, seconds: float = 5) -> dict[str, Any]:
        """Wait for the next message that is not a ping."""
        async with asyncio.timeout(seconds):
            while True:
                received: dict[str, Any] = json.loads(await self.connection.recv())
                if received != {"type": "ping"}:
                    return received

    async def ids(self, count: int) -> list[int]:
        """Wait for this many items; return their event ids."""
        items = [await self.next() for _ in range(count)]
        assert all(item["type"] == "notification" for item in items), items
        return [item["event_id"] for item in items]

    async def closed(self, seconds: float = 5) -> int | None:
        """Wait until the socket is closed; return the code."""
        async with asyncio.timeout(seconds):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def open_feed(url: str, max_queue: int | None) -> AsyncIterator[FeedClient]:
    """Open a socket; with `max_queue` it stops reading once this many messages wait."""
    async with connect(url, proxy=None, compression=None, max_queue=max_queue) as connection:
        yield FeedClient(connection)


@pytest.fixture
def feed(server: Server, tokens: TestTokens) -> Socket:
    """Open a socket, authenticate, and receive `ready`."""

    @asynccontextmanager
    async def open_(user: UUID, last_event_id: Any = ABSENT, ready: int | None = None):
        async with server.open() as socket:
            seen = {} if last_event_id is ABSENT else {"last_event_id": last_event_id}
            await socket.send(type="auth", token=tokens.token(subject=user, scopes=[SCOPE]), **seen)
            answer = await socket.next()
            assert answer["type"] == "ready", answer
            assert ready is None or answer["event_id"] == ready
            yield socket

    return open_


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the served app. It fails the test that gets an undocumented response."""
    hooks = {"response": [documented_by(server.app, SERVICE.name)]}
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=30, event_hooks=hooks
    ) as client:
        yield client


@asynccontextmanager
async def opened_stream(
    server: Server, headers: dict[str, str], query: str = ""
) -> AsyncIterator[StreamClient]:
    url = f"{server.url}/api/v1/notifications/stream{query}"
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        yield StreamClient(response)


@pytest.fixture
def open_stream() -> Callable[..., AbstractAsyncContextManager[StreamClient]]:
    """Open a stream of a server."""
    return opened_stream


@pytest.fixture
def stream(server: Server) -> Callable[..., AbstractAsyncContextManager[StreamClient]]:
    """Open a stream of the server."""
    return partial(opened_stream, server)


@pytest.fixture
def principal() -> Callable[..., Principal]:
    """Make a user whose token is valid for ten minutes, unless the arguments differ."""

    def make(**given: Any) -> Principal:
        good: dict[str, Any] = {
            "user_id": new_id(),
            "session_id": new_id(),
            "api_key_id": None,
            "authenticated_at": int(time.time()),
            "methods": frozenset({"pwd"}),
            "roles": frozenset({"customer"}),
            "scopes": frozenset({SCOPE}),
            "expires_at": int(time.time()) + 600,
            "key_id": "the-key",
        }
        return Principal(**good | given)

    return make


@pytest.fixture
def connections() -> Connections:
    """The sockets of a process, of which there are none yet."""
    return Connections(
        limit=100_000, limit_per_user=100_000, metrics=FeedMetrics(CollectorRegistry())
    )


@pytest.fixture
def headers(tokens: TestTokens) -> Callable[[UUID], dict[str, str]]:
    """Return the Authorization header of a user."""
    return lambda user: tokens.headers(subject=user, scopes=[SCOPE])


@pytest.fixture
def anonymous(server: Server) -> Callable[[], AbstractAsyncContextManager[FeedClient]]:
    """Open a socket, and send nothing."""
    return server.open


@pytest.fixture
def serve(settings: NotificationsSettings) -> Callable[..., Any]:
    """Serve the app with other settings."""
    return lambda **changed: serving(settings.model_copy(update=changed))


@pytest.fixture
def placed() -> Callable[..., OrderPlaced]:
    """Return the event of an order."""
    return lambda customer, **given: OrderPlacedFactory.build(customer_id=customer, **given)


@pytest.fixture
def revoke(server: Server) -> Callable[[UUID], None]:
    """End a log-in session, as the broadcast of the users service does."""

    def end(session_id: UUID) -> None:
        verifier = server.app.state.resources.verifier  # once the server has started
        verifier._revoked.add([session_id], at=datetime.now(UTC))

    return end


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Poll for a condition that no event announces."""
    return until


@pytest.fixture
def until_blocked(db: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
    """Wait until a transaction waits for a lock."""

    async def blocked() -> bool:
        found: bool = await db.fetchval(
            "SELECT count(*) > 0 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return found

    return lambda: until(blocked)
