"""Fixtures of the tests of webhooks: real receivers, and the worker's side of the service."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry

from chassis.database import new_id
from chassis.jobs import OutsideRun
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.scheduler import Scheduler
from chassis.jobs.worker import JobPace, JobWorker
from notifications.declaration import SERVICE
from notifications.dispatch.jobs import send_deliveries
from notifications.dispatch.wiring import WorkerResources
from notifications.webhooks.models import SendDeliveries
from testkit.certificates import Certificates

from .receiver import Receiver, receiving

type Dispatch = Callable[..., Awaitable[None]]


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"webhook_keys": "k" * 32, "webhook_allowed_networks": "127.0.0.0/8"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
def api(client, headers, user) -> Callable[..., Awaitable[httpx.Response]]:
    """Send a request below /api/v1/webhooks, by default as the user."""

    async def request(
        method: str, path: str = "", *, by: UUID = user, **given: Any
    ) -> httpx.Response:
        given["headers"] = headers(by) | given.get("headers", {})
        answer: httpx.Response = await client.request(method, f"/api/v1/webhooks{path}", **given)
        return answer

    return request


@pytest.fixture
def create(api, user) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Create a webhook of the user, and return it with its secret."""

    async def post(url: str, *, owner: UUID = user, **given: Any) -> dict[str, Any]:
        answer = await api("POST", json={"url": url, **given}, by=owner)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return post


@pytest.fixture
def notify(consume, placed, user) -> Callable[..., Awaitable[None]]:
    """Consume the events of this many orders of the user."""

    async def run(number: int = 1) -> None:
        await consume(*(placed(user) for _ in range(number)))

    return run


@pytest.fixture
async def webhook(create, receiver) -> dict[str, Any]:
    """A webhook of the user, which the receiver serves."""
    made: dict[str, Any] = await create(receiver.url)
    return made


@pytest.fixture
def dispatch(worker_resources: WorkerResources, db: asyncpg.Connection) -> Dispatch:
    """Run each waiting job that is due once, as the worker does, and complete it."""

    async def run() -> None:
        jobs = await db.fetch(
            "SELECT id, arguments FROM jobs"
            " WHERE kind = $1 AND state = 'waiting' AND run_at <= now() ORDER BY id",
            SendDeliveries.kind,
        )
        for job in jobs:
            arguments = SendDeliveries.model_validate(json.loads(job["arguments"]))
            given = OutsideRun(resources=worker_resources, job_id=job["id"], attempt=1)
            await send_deliveries(arguments, given)
            await db.execute(
                "UPDATE jobs SET state = 'done', finished_at = now() WHERE id = $1", job["id"]
            )

    return run


@pytest.fixture
def hurry(db: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
    """Make all that waits due now."""

    async def run() -> None:
        await db.execute("UPDATE webhooks SET paused_until = NULL")
        await db.execute("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'waiting'")
        await db.execute("UPDATE jobs SET run_at = now() WHERE state = 'waiting'")

    return run


@pytest.fixture
def listed(api) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """Return the deliveries of a webhook, as its owner sees them, newest first."""

    async def get(webhook: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await api("GET", f"/{webhook['id']}/deliveries")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    return get


@pytest.fixture
async def worker(worker_resources: WorkerResources) -> AsyncIterator[None]:
    """The part of the worker that runs jobs."""
    registry, kinds = CollectorRegistry(), SERVICE.jobs
    jobs = JobWorker(
        service=SERVICE.name,
        database=worker_resources.database,
        kinds=kinds,
        resources=worker_resources,
        metrics=JobMetrics(registry, kinds=kinds.names, queues=kinds.queues),
        scheduler=Scheduler(
            database=worker_resources.database, schedules=(), jobs=worker_resources.jobs
        ),
        pace=JobPace(poll_seconds=0.1),
    )
    running = asyncio.create_task(jobs.run())
    yield
    running.cancel()
    await asyncio.wait([running])
