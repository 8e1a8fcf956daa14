"""The kinds of jobs that the ledger runs, and the tables that show what became of them.

Each job keeps an effect. A handler fails now and then, and always for a doomed job.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from chassis.database.unit import Unit
from chassis.jobs import (
    BatchJob,
    InsideJob,
    InsideRun,
    JobArguments,
    JobKinds,
    OutsideJob,
    OutsideRun,
    PermanentError,
    Retry,
    Schedule,
)
from chassis.wiring import ServiceResources

PERIOD = timedelta(seconds=1)
LEASE_SECONDS = 4.0  # less than a worker is frozen for
PAUSE_ONE_IN = 50
_CHANCE = 0.02
_RETRY = Retry(attempts=100, first_delay=0.1, longest_delay=1.0)


def declare_chaos_tables(metadata: MetaData) -> None:
    """Add the tables of enqueues and of effects. They have no constraint: it would hide doubles."""
    Table(
        "enqueued",
        metadata,
        Column("name", Uuid, nullable=False),
        Column("kind", Text, nullable=False),
        Column("unique_key", Text),
        Column("doomed", Boolean, nullable=False),
        Column("job_id", BigInteger),  # None: a job with this key was unfinished
        _moment("began", func.now()),
        _moment("made_at", func.clock_timestamp()),
    )
    Table(
        "job_effects",
        metadata,
        Column("name", Text, nullable=False),
        Column("worker", Text, nullable=False),
        _moment("at", func.clock_timestamp()),
        Index("ix_job_effects_name", "name"),
    )


def _moment(name: str, default: ColumnElement[datetime]) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=default)


class RefusedJobError(Exception):
    """Raised by a handler by chance."""


class _Named(JobArguments):
    name: UUID
    doomed: bool = False


class Inside(_Named):
    kind = "chaos.inside.v1"


class Batched(_Named):
    kind = "chaos.batched.v1"
    queue = "batches"


class Outside(_Named):
    kind = "chaos.outside.v1"


class Tick(JobArguments):
    kind = "chaos.tick.v1"


class Tock(JobArguments):
    """As Tick, but outside a transaction."""

    kind = "chaos.tock.v1"


async def _keep_effects(unit: Unit, names: Sequence[str]) -> None:
    await unit.session.execute(
        text(
            "INSERT INTO job_effects (name, worker)"
            " SELECT unnest(CAST(:names AS text[])), current_setting('application_name')"
        ),
        {"names": list(names)},
    )


async def _keep_effect_outside(name: str, run: OutsideRun[ServiceResources]) -> None:
    async with run.resources.database.transaction() as unit:
        await _keep_effects(unit, [name])


def _refuse_jobs(batch: Sequence[_Named]) -> None:
    if any(arguments.doomed for arguments in batch):
        message = "this job is refused for ever"
        raise PermanentError(message)
    if random.random() < _CHANCE:
        message = "a failure by chance"
        raise RefusedJobError(message)


async def batched(batch: Sequence[_Named], run: InsideRun[ServiceResources]) -> None:
    """Take effect; half of the failures come after the effect, which must not stay then."""
    early = random.random() < 0.5
    if early:
        _refuse_jobs(batch)
    await _keep_effects(run.unit, [str(arguments.name) for arguments in batch])
    if random.randrange(PAUSE_ONE_IN) == 0:
        await asyncio.sleep(0.05)
    if not early:
        _refuse_jobs(batch)


async def inside(arguments: Inside, run: InsideRun[ServiceResources]) -> None:
    """Take effect as a batch of one."""
    await batched([arguments], run)


async def outside(arguments: Outside, run: OutsideRun[ServiceResources]) -> None:
    """Take effect; a failure by chance may come after it, and then the effect is repeated."""
    if arguments.doomed or random.random() < 0.5:
        _refuse_jobs([arguments])
    await _keep_effect_outside(str(arguments.name), run)
    if random.randrange(4) == 0:
        await asyncio.sleep(0.2)  # so that faults meet a job whose effect is not recorded yet
    _refuse_jobs([arguments])


async def tick(_: Tick, run: InsideRun[ServiceResources]) -> None:
    """Take effect, and give faults a transaction to meet, each second."""
    await _keep_effects(run.unit, [str(run.job_id)])
    await asyncio.sleep(0.05)


async def tock(_: Tock, run: OutsideRun[ServiceResources]) -> None:
    """Take effect, and give faults a moment before the completion, each second."""
    await _keep_effect_outside(str(run.job_id), run)
    await asyncio.sleep(0.1)


JOBS: JobKinds[ServiceResources] = JobKinds(
    kinds=[
        InsideJob(Inside, inside, retry=_RETRY),
        BatchJob(Batched, batched, size=20, retry=_RETRY),
        OutsideJob(Outside, outside, retry=_RETRY),
        InsideJob(Tick, tick, retry=_RETRY),
        OutsideJob(Tock, tock, retry=_RETRY),
    ],
    schedules=[Schedule(arguments=one, every=PERIOD) for one in (Tick(), Tock())],
)
