"""The tests' service of jobs in this process, and its workers, here or as processes."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from chassis.database import Connector, Database, DatabaseSettings
from chassis.database.connecting import QUEUE_PLANS
from chassis.jobs import JobArguments, Jobs
from chassis.jobs.leases import LeasedJob, Leases
from chassis.messaging import Wakeups
from testkit.databases import ServiceDatabase

from .working import SERVICE, make_worker, metadata, settings_for

SECONDS = 60.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until `condition` is true, where there is no event to wait for."""
    async with asyncio.timeout(SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    """Run long-lived tasks beside the block, and cancel them at its end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@dataclass(kw_only=True)
class WorkingService:
    """The tests' service, in this process."""

    urls: ServiceDatabase
    database: Database
    wakeups: Wakeups
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def jobs(self, unit: Any) -> Jobs:
        return Jobs(unit=unit, service=SERVICE, wakeups=self.wakeups)

    async def enqueue(self, *arguments: JobArguments, **options: Any) -> list[int | None]:
        """Enqueue jobs, all in one transaction; return their ids."""
        async with self.database.transaction() as unit:
            jobs = self.jobs(unit)
            return [await jobs.enqueue(one, **options) for one in arguments]

    def worker(self, **options: Any) -> Any:
        return make_worker(self.database, self.wakeups, registry=CollectorRegistry(), **options)

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[CollectorRegistry]:
        """Run a worker in this process beside the block; yield its metrics."""
        registry = CollectorRegistry()
        worker = make_worker(self.database, self.wakeups, registry=registry, **options)
        async with running(worker.run()):
            yield registry

    @asynccontextmanager
    async def leases(self, *, seconds: float = 30) -> AsyncIterator[Leases]:
        """Yield the means to lease by hand, as a separate worker does."""
        connector = Connector.to(self.urls.runtime_url)
        async with connector.opened("tests", settings=QUEUE_PLANS) as connection:
            yield Leases(connection=connection, duration=timedelta(seconds=seconds), unsure=set())

    async def lease(self, queue: str = "default", *, limit: int = 10) -> list[LeasedJob]:
        async with self.leases() as leases:
            return await leases.lease(queue, limit)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        await until(condition)

    async def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.urls.runtime_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def states(self) -> dict[int, str]:
        return dict(await self.query("SELECT id, state FROM jobs ORDER BY id"))

    async def job(self, columns: str) -> tuple[Any, ...]:
        """Return columns of the only job."""
        [row] = await self.query(f"SELECT {columns} FROM jobs")
        return row

    async def effects(self, by: str = "%") -> list[int]:
        rows = await self.query("SELECT number FROM effects WHERE by LIKE $1 ORDER BY place", by)
        return [row[0] for row in rows]

    async def until_states(self, *states: str) -> None:
        """Wait until all jobs but periodic ones are in one of these states."""

        async def in_states() -> bool:
            sql = "SELECT 1 FROM jobs WHERE state <> ALL ($1) AND kind <> 'works.ticked.v1' LIMIT 1"
            return not await self.query(sql, list(states))

        await until(in_states)

    async def until_effects(self, number: int) -> None:
        async def enough_effects() -> bool:
            return len(await self.effects()) >= number

        await until(enough_effects)

    @asynccontextmanager
    async def process(
        self, *, lease_seconds: float = 1
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a worker in a separate process; kill it if it still runs at the end of the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            Path(__file__).with_name("working.py"),
            self.urls.runtime_url,
            f"{lease_seconds}",
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    async def expire_leases(self) -> None:
        """Make the leases of all running jobs expire."""
        async with self.database.transaction() as unit:
            await unit.fetch(
                "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE state = 'running'",
            )


async def end_connections(service: "WorkingService", name: str) -> None:
    """End the connections that have this name."""
    admin = await asyncpg.connect(service.urls.superuser_url)
    try:
        await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            name,
        )
    finally:
        await admin.close()


@pytest.fixture(scope="session")
async def service_database(postgres_url: str) -> ServiceDatabase:
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture(scope="session")
def database_settings(service_database: ServiceDatabase) -> DatabaseSettings:
    return settings_for(service_database.runtime_url)


@pytest.fixture
async def service(
    database: ServiceDatabase, database_settings: DatabaseSettings
) -> AsyncIterator[WorkingService]:
    wakeups = Wakeups(connector=Connector.to(database.runtime_url), application_name="tests-hints")
    async with (
        Database(settings=database_settings, application_name="tests").opened() as pool,
        running(wakeups.run()),
    ):
        yield WorkingService(urls=database, database=pool, wakeups=wakeups)
