"""One side of the row of jobs, in a process of its own: ``python -m bench.job_sides NAME SECONDS``.

Prints its figures as JSON; DATABASE_URL names the measured service's schema.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from bench.events import SERVICE
from bench.window import watch
from chassis.database import Database, DatabaseSettings
from chassis.database.connecting import QUEUE_PLANS
from chassis.database.unit import Unit
from chassis.jobs import BatchJob, InsideJob, InsideRun, JobArguments, JobKinds, Jobs
from chassis.jobs.leases import Leases
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.scheduler import Scheduler
from chassis.jobs.worker import JobWorker
from chassis.messaging import Wakeups
from chassis.settings import load

CONNECTIONS = 8
EFFECT = (
    "INSERT INTO moves (thing_id, version, place)"
    " VALUES ('00000000-0000-7000-8000-000000000001', $1, 'here')"
)
_EFFECTS = EFFECT.replace("VALUES (", "SELECT ").replace("$1", "n").removesuffix(")")
_BATCH = 500
_PAGE = 10
_IDLE_SECONDS = 0.02
_COUNT = "SELECT count(*) AS done FROM jobs WHERE state = 'done'"


class Moved(JobArguments):
    """Record one move, in a transaction."""

    kind = "bench.moved.v1"

    number: int


class MovedTogether(Moved):
    """Record many moves in one transaction."""

    kind = "bench.moved-together.v1"
    queue = "together"


class Started(JobArguments):
    """Do nothing, at once."""

    kind = "bench.started.v1"
    queue = "started"


async def move(arguments: Moved, run: InsideRun[Any]) -> None:
    """Record one move."""
    await run.unit.fetch(EFFECT, arguments.number)


async def move_together(batch: Sequence[MovedTogether], run: InsideRun[Any]) -> None:
    """Record many moves."""
    numbers = [arguments.number for arguments in batch]
    await run.unit.fetch(f"{_EFFECTS} FROM unnest($1::bigint[]) AS n", numbers)


class Sides:
    """The worker of this process, and its measurements.

    Args:
        database: of the measured service.
        wakeups: of this process.
    """

    def __init__(self, *, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._started = asyncio.Event()

    def jobs(self, unit: Unit) -> Jobs:
        """Make the jobs of a transaction."""
        return Jobs(unit=unit, service=SERVICE, wakeups=self._wakeups)

    def worker(self) -> JobWorker[None]:
        """Make the worker."""

        async def start(_: Started, run: InsideRun[Any]) -> None:
            del run
            self._started.set()

        kinds: JobKinds[None] = JobKinds(
            kinds=[
                InsideJob(Moved, move),
                BatchJob(MovedTogether, move_together, size=_BATCH),
                InsideJob(Started, start),
            ],
            slots={"default": CONNECTIONS, "together": 2},
        )
        return JobWorker(
            service=SERVICE,
            database=self._database,
            kinds=kinds,
            resources=None,
            metrics=JobMetrics(CollectorRegistry(), kinds=kinds.names, queues=kinds.queues),
            scheduler=Scheduler(database=self._database, schedules=(), jobs=self.jobs),
        )

    async def done(self) -> int:
        """Return the number of jobs that are done."""
        async with self._database.transaction() as unit:
            return int((await unit.fetch(_COUNT))[0]["done"])

    async def drain(self, seconds: float) -> dict[str, Any]:
        """Let the worker run waiting jobs; count those of the window, and all that are done."""
        sample = await watch(self.done, _cpu, seconds, settle=1)
        return {**asdict(sample), "all": await self.done()}

    async def pick_up(self, seconds: float) -> dict[str, Any]:
        """Measure the time from the enqueuing commit to the job's start, one job at a time."""
        latencies: list[float] = []
        await asyncio.sleep(1)
        began = time.monotonic()
        while not latencies or time.monotonic() < began + seconds:
            self._started.clear()
            async with self._database.transaction() as unit:
                await self.jobs(unit).enqueue(Started())
            committed = time.monotonic()
            await self._started.wait()
            latencies.append((time.monotonic() - committed) * 1000)
            await asyncio.sleep(_IDLE_SECONDS)
        return {"operations": len(latencies), "seconds": seconds, "latencies": latencies}

    async def lease(self, seconds: float) -> dict[str, float]:
        """Lease jobs, page by page."""
        async with self._database.direct.opened("bench", settings=QUEUE_PLANS) as connection:
            leases = Leases(connection=connection, duration=timedelta(hours=1), unsure=set())
            await leases.lease("default", _PAGE)
            began, pages = time.monotonic(), 0
            while time.monotonic() < began + seconds and pages < _PAGE * 8:
                await leases.lease("default", _PAGE)
                pages += 1
            return {"operations": pages, "seconds": time.monotonic() - began}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _run(name: str, seconds: float) -> dict[str, Any]:
    settings = load(DatabaseSettings)
    async with Database(settings=settings, application_name="bench-jobs").opened() as database:
        wakeups = Wakeups(connector=database.direct, application_name="bench-wakeups")
        sides = Sides(database=database, wakeups=wakeups)
        if name == "lease":
            return await sides.lease(seconds)
        running = [
            asyncio.create_task(sides.worker().run()),
            asyncio.create_task(wakeups.run()),
        ]
        try:
            return await (sides.pick_up if name == "pick-up" else sides.drain)(seconds)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


def main() -> None:
    """Run one side."""
    name, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(_run(name, float(seconds)))) + "\n")


if __name__ == "__main__":
    main()
