"""What the tests of notifications share: its app, its sockets, and messages for its worker."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from polyfactory.factories.pydantic_factory import ModelFactory
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from chassis.database import new_id
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.events import cloud_event_headers
from chassis.messaging.metrics import ConsumerMetrics
from chassis.process import Process, _server
from chassis.settings import Environment
from chassis.testing import ServiceDatabase, TestTokens, client_of
from chassis.testing.tokens import ISSUER
from contracts import Event
from contracts.orders import OrderPlaced
from notifications.app import create_app
from notifications.settings import NotificationsSettings
from notifications.wiring import SCOPE, Resources, open_resources
from notifications.worker import SUBSCRIPTIONS

ABSENT = object()

type Consume = Callable[..., Awaitable[tuple[int, Exception | None]]]
type Socket = Callable[..., AbstractAsyncContextManager["FeedClient"]]


class OrderPlacedFactory(ModelFactory[OrderPlaced]):
    version = 1


@pytest.fixture(scope="session")
def service_directory() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def settings(database: ServiceDatabase, tokens: TestTokens) -> NotificationsSettings:
    return NotificationsSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",  # only the worker speaks to Kafka
        auth_issuer=ISSUER,
        auth_jwks_file=tokens.jwks_file,
    )


@pytest.fixture
async def client(settings: NotificationsSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(settings)) as client:
        yield client


@pytest.fixture
async def db(database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    """The service's own view of its tables, past the app."""
    connection = await asyncpg.connect(database.runtime_url)
    yield connection
    await connection.close()


@pytest.fixture
async def resources(settings: NotificationsSettings) -> AsyncIterator[Resources]:
    """What the worker process holds."""
    process = Process(name="notifications-worker", settings=settings)
    async with process.tasks(), open_resources(settings, process) as resources:
        yield resources


@pytest.fixture
def consume(resources: Resources) -> Consume:
    """Takes events through the worker's subscriptions, as one batch of one partition."""
    runner = BatchRunner(
        service="notifications",
        database=resources.database,
        handling=Handling(
            service="notifications", subscriptions=SUBSCRIPTIONS, resources=resources
        ),
        metrics=ConsumerMetrics(Process(name="test", settings=resources.settings).registry),
    )

    async def run(*events: Event, partition: int = 0, **given: Any):
        return await runner.run([message(event, partition=partition, **given) for event in events])

    return run


def message(
    event: Event,
    *,
    partition: int = 0,
    event_id: UUID | None = None,
    traceparent: str | None = None,
) -> Any:
    """Make the Kafka message of an event."""
    headers = cloud_event_headers(
        event,
        event_id=event_id or new_id(),
        source="/slipway/test",
        trace={"traceparent": traceparent} if traceparent else {},
    )
    return SimpleNamespace(
        topic=event.topic.name,
        partition=partition,
        offset=0,
        key=event.key.encode(),
        headers=[(name, value.encode()) for name, value in headers.items()],
        value=event.to_json(),
    )


@dataclass(kw_only=True)
class Server:
    """The API on a real server."""

    app: FastAPI
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
    """Serve the app by uvicorn, as the process does, on a free port."""
    app = create_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = _server(app, host="127.0.0.1", port=port, lifespan="on", timeout=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listening]))

            def stop() -> None:
                server.should_exit = True

            try:
                yield Server(app=app, port=port, stop=stop)
            finally:
                stop()


@pytest.fixture
async def server(settings: NotificationsSettings) -> AsyncIterator[Server]:
    async with serving(settings) as server:
        yield server


class FeedClient:
    """One socket, as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **body: Any) -> None:
        await self.connection.send(json.dumps(body))

    async def next(self, seconds: float = 5) -> dict[str, Any]:
        """Wait for the next message but a ping."""
        async with asyncio.timeout(seconds):
            while True:
                received: dict[str, Any] = json.loads(await self.connection.recv())
                if received != {"type": "ping"}:
                    return received

    async def ids(self, count: int) -> list[int]:
        """Wait for so many items; answers their event ids."""
        items = [await self.next() for _ in range(count)]
        assert all(item["type"] == "notification" for item in items), items
        return [item["event_id"] for item in items]

    async def closed(self, seconds: float = 5) -> int | None:
        """Wait for the end; answers the code."""
        async with asyncio.timeout(seconds):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def open_feed(url: str, max_queue: int | None) -> AsyncIterator[FeedClient]:
    """Open a socket; with `max_queue` it stops reading once so many messages wait."""
    async with connect(url, proxy=None, compression=None, max_queue=max_queue) as connection:
        yield FeedClient(connection)


@pytest.fixture
def feed(server: Server, tokens: TestTokens) -> Socket:
    """Opens a socket, authenticates, and takes `ready` off it."""

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
def headers(tokens: TestTokens) -> Callable[[UUID], dict[str, str]]:
    """Makes the Authorization header of a user."""
    return lambda user: tokens.headers(subject=user, scopes=[SCOPE])


@pytest.fixture
def anonymous(server: Server) -> Callable[[], AbstractAsyncContextManager[FeedClient]]:
    """Opens a socket, and sends nothing."""
    return server.open


@pytest.fixture
def serve(settings: NotificationsSettings) -> Callable[..., Any]:
    """Serves the app with other settings."""
    return lambda **changed: serving(settings.model_copy(update=changed))


@pytest.fixture
def placed() -> Callable[..., OrderPlaced]:
    """Makes the event of an order."""
    return lambda customer, **given: OrderPlacedFactory.build(customer_id=customer, **given)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Waits for what nothing announces."""

    async def wait(condition: Callable[[], bool], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for announces itself to nobody
                await asyncio.sleep(0.01)

    return wait
