"""Jobs: operators list them, redrive dead ones, and cancel them. Each action is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from prometheus_client import Counter
from sqlalchemy import select

from chassis.database.unit import Unit
from chassis.errors import Conflict, NotFound
from chassis.jobs.enqueueing import jobs_channel
from chassis.jobs.tables import CANCELLED, DEAD, DONE
from chassis.messaging.wakeup import Wakeups
from chassis.operations.dead_letters import REDRIVEN, Action
from chassis.paging import (
    BigSerial,
    ListOrder,
    PageRequest,
    PageRows,
    Position,
    subquery_of,
)

_COLUMNS = """
    id, queue, kind, priority, state, attempts, error, unique_key, traceparent, enqueued_at,
    run_at, started_at, finished_at, arguments::text
"""
_FIND = f"SELECT {_COLUMNS} FROM jobs WHERE id = $1"  # noqa: S608 - of constants
_LOCK = f"{_FIND} FOR UPDATE"
_REDRIVE = """
    UPDATE jobs SET state = 'waiting', attempts = 0, run_at = now(), finished_at = NULL
    WHERE id = $1
"""
_CANCEL = """
    UPDATE jobs SET state = 'cancelled', finished_at = clock_timestamp(), lease = NULL,
        lease_until = NULL
    WHERE id = $1
"""
_RECORD = """
    INSERT INTO job_actions (actor, action, reason, job_id, kind, unique_key)
    VALUES ($1, $2, $3, $4, $5, $6)
"""


class JobNotFound(NotFound):
    """No job has this number, or it is finished for longer than such jobs are kept."""

    name = "job-not-found"
    title = "There is no such job."


class JobNotDead(Conflict):
    """Only dead jobs are redriven."""

    name = "job-not-dead"
    title = "The job is not dead."


class JobFinished(Conflict):
    """The job is done or cancelled already."""

    name = "job-finished"
    title = "The job has finished."


class JobBusy(Conflict):
    """The job runs in a transaction, for longer than is waited."""

    name = "job-busy"
    title = "The job is running now."


class JobReplaced(Conflict):
    """Another job with the same unique key is unfinished."""

    name = "job-replaced"
    title = "Another job has the same unique key."


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Filter for jobs; None matches any."""

    states: Sequence[str] = (DEAD,)
    kind: str | None = None
    queue: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job; ``arguments`` is JSON."""

    id: int
    queue: str
    kind: str
    priority: int
    state: str
    attempts: int
    error: str | None
    unique_key: str | None
    traceparent: str | None
    enqueued_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    arguments: str


class JobPosition(Position):
    """The position of a job in the list."""

    number: BigSerial


_LISTED = subquery_of(
    f"""
    SELECT {_COLUMNS} FROM jobs
    WHERE state = ANY (:states)
      AND (cast(:kind AS text) IS NULL OR kind = :kind)
      AND (cast(:queue AS text) IS NULL OR queue = :queue)
      AND (cast(:error AS text) IS NULL OR strpos(lower(error), lower(:error)) > 0)
    """,  # noqa: S608 - of constants
    JobRow,
)
_OLDEST_FIRST = ListOrder(JobPosition, _LISTED.c.id)


class OperatedJobs:
    """The jobs of one service.

    Args:
        service: the service's name.
        wakeups: wakes its workers.
        counter: counts actions by kind.
    """

    def __init__(self, *, service: str, wakeups: Wakeups, counter: Counter) -> None:
        self._service = service
        self._wakeups = wakeups
        self._counter = counter

    async def page(
        self, unit: Unit, wanted: PageRequest[JobPosition], *, only: JobFilter
    ) -> PageRows[JobRow, JobPosition]:
        """Return a page of jobs, the oldest first."""
        values = {
            "states": list(only.states),
            "kind": only.kind,
            "queue": only.queue,
            "error": only.error,
        }
        rows = await unit.session.execute(_OLDEST_FIRST.bounded(select(_LISTED), wanted), values)
        return _OLDEST_FIRST.cut([JobRow(**row) for row in rows.mappings()], wanted)

    async def get(self, unit: Unit, number: int) -> JobRow:
        """Return one job, or raise JobNotFound."""
        return self._one(await unit.fetch(_FIND, number), number)

    async def redrive(self, unit: Unit, number: int, action: Action) -> JobRow:
        """Retry a dead job at once, with all its attempts again; return its old state.

        Raises:
            JobNotFound: there is no such job.
            JobNotDead: it waits, runs or has finished.
            JobReplaced: another job with its unique key is unfinished.
            JobBusy: its row is locked for too long.
        """
        job = await self._lock(unit, number)
        if job.state != DEAD:
            message = f"Job {number} is {job.state}; only dead jobs are redriven."
            raise JobNotDead(message)
        try:
            await unit.fetch(_REDRIVE, number)
        except asyncpg.UniqueViolationError as error:
            message = (
                f"An unfinished {job.kind} has the unique key {job.unique_key!r} of job {number}. "
                "Cancel one of the two."
            )
            raise JobReplaced(message) from error
        channel, queue = jobs_channel(self._service), job.queue
        unit.after_commit(lambda: self._wakeups.hint(channel, queue))
        await self._record(unit, job, REDRIVEN, action)
        return job

    async def cancel(self, unit: Unit, number: int, action: Action) -> JobRow:
        """Give a job up for good: it is not run again; return its old state.

        A job that runs outside a transaction is stopped within seconds; its effects remain.

        Raises:
            JobNotFound: there is no such job.
            JobFinished: it is done, or cancelled already.
            JobBusy: it runs in a transaction, for too long to wait.
        """
        job = await self._lock(unit, number)
        if job.state in {DONE, CANCELLED}:
            message = f"Job {number} is {job.state} already; there is nothing to cancel."
            raise JobFinished(message)
        await unit.fetch(_CANCEL, number)
        await self._record(unit, job, CANCELLED, action)
        return job

    async def _lock(self, unit: Unit, number: int) -> JobRow:
        try:
            return self._one(await unit.fetch(_LOCK, number), number)
        except asyncpg.LockNotAvailableError as error:
            message = f"Job {number} is running in a transaction now. Try again in a moment."
            raise JobBusy(message) from error

    def _one(self, rows: Sequence[asyncpg.Record], number: int) -> JobRow:
        if not rows:
            message = (
                f"{self._service} has no job {number}. It never existed, or it finished so long "
                "ago that it was deleted. List the jobs."
            )
            raise JobNotFound(message)
        return _job(rows[0])

    async def _record(self, unit: Unit, job: JobRow, action: str, by: Action) -> None:
        await unit.fetch(_RECORD, by.actor, action, by.reason, job.id, job.kind, job.unique_key)
        unit.after_commit(self._counter.labels(action).inc)


def _job(row: asyncpg.Record) -> JobRow:
    return JobRow(**row)
