"""The tests' own service of jobs: the handlers of its kinds, and its worker as a process."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import BigInteger, Column, Identity, Integer, Table, Text

from chassis.database import Database, DatabaseSettings, service_metadata
from chassis.jobs import (
    BatchJob,
    InsideJob,
    InsideRun,
    JobArguments,
    JobKinds,
    Jobs,
    OutsideJob,
    OutsideRun,
    PermanentError,
    PostponedError,
    Retry,
    Schedule,
    declare_job_tables,
)
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.scheduler import Scheduler
from chassis.jobs.worker import JobPace, JobWorker
from chassis.messaging import Wakeups
from chassis.settings import Environment

SERVICE = "works"
metadata = service_metadata()
declare_job_tables(metadata)
Table(
    "effects",
    metadata,
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("pid", Integer, nullable=False),
)
_EFFECT = "INSERT INTO effects (number, by, pid) VALUES ($1, $2, $3)"
_EFFECTS = "INSERT INTO effects (number, by, pid) SELECT n, $2, $3 FROM unnest($1::bigint[]) AS n"


class Inside(JobArguments):
    kind = "works.inside.v1"

    number: int
    fail: str = ""
    seconds: float = 0


class Outside(Inside):
    kind = "works.outside.v1"


class Batched(Inside):
    kind = "works.batched.v1"
    queue = "batches"


class Ticked(JobArguments):
    kind = "works.ticked.v1"


class RefusedError(Exception):
    """Raised by a handler whose job requests a failure."""


async def _behave(arguments: Inside) -> None:
    match arguments.fail:
        case "always":
            message = f"{arguments.number} is refused"
            raise RefusedError(message)
        case "permanently":
            message = f"{arguments.number} can never go well"
            raise PermanentError(message)
        case "postponed":
            raise PostponedError(timedelta(hours=1))
        case "connection":
            message = "the mail server is unavailable"
            raise ConnectionError(message)
        case "cancelled by a library":
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
    await asyncio.sleep(arguments.seconds)


async def inside(arguments: Inside, run: InsideRun[Any]) -> None:
    await run.unit.fetch(_EFFECT, arguments.number, "inside", os.getpid())
    await _behave(arguments)


async def batched(batch: Sequence[Batched], run: InsideRun[Any]) -> None:
    numbers = [arguments.number for arguments in batch]
    await run.unit.fetch(_EFFECTS, numbers, f"batch of {len(batch)}", os.getpid())
    for arguments in batch:
        await _behave(arguments)


async def outside(arguments: Outside, run: OutsideRun[Database]) -> None:
    """Take effect first, so that an interruption after it makes the job run again."""
    async with run.resources.transaction() as unit:
        by = f"outside, attempt {run.attempt}"
        await unit.fetch(_EFFECT, arguments.number, by, os.getpid())
    await _behave(arguments)


async def ticked(_: Ticked, run: InsideRun[Any]) -> None:
    await run.unit.fetch(_EFFECT, run.job_id, "ticked", os.getpid())


def kinds(**options: Any) -> JobKinds[Database]:
    retry = options.pop("retry", Retry(attempts=3, first_delay=0.02, longest_delay=0.05))
    time_limit = options.pop("time_limit", 10.0)
    outside_limit = options.pop("outside_limit", time_limit)
    return JobKinds(
        kinds=[
            InsideJob(Inside, inside, retry=retry, time_limit=time_limit),
            OutsideJob(Outside, outside, retry=retry, time_limit=outside_limit),
            BatchJob(Batched, batched, retry=retry, size=50),
            InsideJob(Ticked, ticked, retry=retry),
        ],
        **options,
    )


def settings_for(url: str) -> DatabaseSettings:
    return DatabaseSettings(environment=Environment.DEVELOPMENT, database_url=SecretStr(url))


def make_worker(
    database: Database, wakeups: Wakeups, *, registry: CollectorRegistry, **options: Any
) -> JobWorker[Database]:
    """Return the part of a worker that runs jobs; `options` are of the kinds and the pace."""
    pace = JobPace(
        poll_seconds=options.pop("poll_seconds", 0.05),
        lease_seconds=options.pop("lease_seconds", 30.0),
        finish_seconds=options.pop("finish_seconds", 0.0),
        gauge_seconds=0.05,
    )
    declared = kinds(**options)
    return JobWorker(
        service=SERVICE,
        database=database,
        kinds=declared,
        resources=database,
        metrics=JobMetrics(registry, kinds=declared.names, queues=declared.queues),
        scheduler=Scheduler(
            database=database,
            schedules=declared.schedules,
            jobs=lambda unit: Jobs(unit=unit, service=SERVICE, wakeups=wakeups),
        ),
        pace=pace,
    )


async def main() -> None:
    """Run a worker: python working.py URL LEASE_SECONDS."""
    url, lease_seconds = sys.argv[1:]
    settings = settings_for(url)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Database(settings=settings, application_name="works-worker").opened() as database:
        wakeups = Wakeups(connector=database.direct, application_name="works-wakeups")
        worker = make_worker(
            database,
            wakeups,
            registry=CollectorRegistry(),
            lease_seconds=float(lease_seconds),
            schedules=[Schedule(arguments=Ticked(), every=timedelta(seconds=1))],
        )
        running = [asyncio.create_task(worker.run()), asyncio.create_task(wakeups.run())]
        await ended.wait()
        for task in running:
            task.cancel()
        await asyncio.wait(running)


if __name__ == "__main__":
    asyncio.run(main())
