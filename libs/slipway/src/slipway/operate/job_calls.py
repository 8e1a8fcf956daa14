"""Calls of the operators' API of a worker about jobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from slipway.operate.worker_api import Outcome, WorkerApi

_PATH = "/jobs"


class Job(BaseModel):
    """A job, as the API returns it."""

    number: int
    kind: str
    queue: str
    state: str
    attempts: int
    error: str | None
    unique_key: str | None
    enqueued_at: datetime
    run_at: datetime
    finished_at: datetime | None


class JobDetail(Job):
    """One job with the structure of its arguments; texts in them are not shown."""

    started_at: datetime | None
    traceparent: str | None
    arguments: Any


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Filter for jobs; None and empty values match any."""

    states: Sequence[str] = ()
    kind: str | None = None
    queue: str | None = None
    error: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the filter as the API's query parameters."""
        given = {
            "state": list(self.states) or None,
            "kind": self.kind,
            "queue": self.queue,
            "error": self.error,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __bool__(self) -> bool:
        """Return whether the filter restricts anything."""
        return bool(self.parameters)


async def find_jobs(api: WorkerApi, wanted: JobFilter, *, limit: int | None = None) -> list[Job]:
    """Return jobs, the oldest first."""
    found = await api.items(_PATH, filters=wanted.parameters, limit=limit)
    return [Job.model_validate(item) for item in found]


async def show_job(api: WorkerApi, number: int) -> JobDetail:
    """Return one job."""
    return JobDetail.model_validate(await api.call("GET", f"{_PATH}/{number}"))


async def act_on_jobs(
    api: WorkerApi, action: str, numbers: Iterable[int], *, reason: str, rate: float
) -> Outcome[Job]:
    """Redrive or cancel jobs one after the other; a rejected one does not stop the next.

    Args:
        api: of the worker.
        action: ``redrive`` or ``cancel``.
        numbers: of the jobs.
        reason: is recorded with each.
        rate: the maximum number per second.
    """
    return await api.act(_PATH, action, numbers, shape=Job, reason=reason, rate=rate)


def jobs_table(jobs: Iterable[Job]) -> Table:
    """Return the jobs as a table."""
    table = Table("number", "state", "kind", "key", "tried", "enqueued", "error")
    for job in jobs:
        texts = (
            str(job.number),
            job.state,
            job.kind,
            job.unique_key or "",
            str(job.attempts),
            f"{job.enqueued_at:%Y-%m-%d %H:%M:%S}",
            job.error or "",
        )
        table.add_row(*(escape(text) for text in texts))
    return table
