"""HTTP routes of jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.auth import Principal, require_scope
from chassis.http import Page, PageQuery, Pages, Router, Shape, UnitDep, problems
from chassis.operations.dead_letter_routes import Number, Reason, Text
from chassis.operations.jobs import (
    JobBusy,
    JobFilter,
    JobFinished,
    JobNotDead,
    JobNotFound,
    JobPosition,
    JobReplaced,
    JobRow,
    OperatedJobs,
)
from chassis.operations.redaction import redacted_payload

SCOPE = "ops:jobs"

router = Router(prefix="/jobs", tags=["jobs"])

JobState = Literal["dead", "waiting", "running", "done", "cancelled"]
Operator = Annotated[Principal, require_scope(SCOPE)]


class JobQuery(PageQuery):
    """Which jobs to list."""

    state: Annotated[
        list[JobState],
        Field(
            default_factory=lambda: ["dead"],
            min_length=1,
            max_length=5,
            description="`dead`: no longer retried; `waiting`: will run; `done` and "
            "`cancelled` ones are kept for a day.",
        ),
    ]
    kind: Annotated[Text | None, Field(description="The job's kind.")] = None
    queue: Annotated[Text | None, Field(description="The job's queue.")] = None
    error: Annotated[Text | None, Field(description="A part of the error; case is ignored.")] = None


class Job(Shape):
    """One job."""

    number: int = Field(description="Identifies the job in this service.")
    kind: str
    queue: str
    priority: int = Field(description="Smaller comes first.")
    state: JobState
    attempts: int = Field(description="How many attempts have begun.")
    error: str | None = Field(description="The error of the last failed attempt; null: none.")
    unique_key: str | None
    enqueued_at: datetime
    run_at: datetime = Field(description="When the job is, or was, due.")
    started_at: datetime | None = Field(description="When the last attempt began.")
    finished_at: datetime | None


class JobDetail(Job):
    """One job with its arguments; texts that may be personal or secret are shown by length."""

    traceparent: str | None = Field(description="The trace of the code that enqueued it.")
    arguments: Any


async def _jobs(connection: HTTPConnection) -> OperatedJobs:
    jobs: OperatedJobs = connection.app.state.jobs
    return jobs


JobsDep = Annotated[OperatedJobs, Depends(_jobs)]


@router.get("", operation_id="listJobs")
async def list_jobs(
    query: Annotated[JobQuery, Query()],
    _: Operator,
    jobs: JobsDep,
    unit: UnitDep,
    pages: Pages,
) -> Page[Job]:
    """List jobs, the oldest first; dead ones unless `state` says otherwise."""
    only = JobFilter(states=query.state, kind=query.kind, queue=query.queue, error=query.error)
    found = await jobs.page(unit, query.page(JobPosition), only=only)
    return pages.write(found, _shown, query=query)


@router.get("/{number}", operation_id="showJob", responses=problems(JobNotFound))
async def show_job(number: Number, _: Operator, jobs: JobsDep, unit: UnitDep) -> JobDetail:
    """Show one job."""
    job = await jobs.get(unit, number)
    return JobDetail(
        **_fields(job),
        traceparent=job.traceparent,
        arguments=redacted_payload(job.arguments.encode()),
    )


@router.post(
    "/{number}/redrive",
    operation_id="redriveJob",
    status_code=202,
    responses=problems(JobNotFound, JobNotDead, JobReplaced, JobBusy),
)
async def redrive_job(
    number: Number, body: Reason, caller: Operator, jobs: JobsDep, unit: UnitDep
) -> Job:
    """Retry a dead job at once, with all its attempts again; returns its old state."""
    return _shown(await jobs.redrive(unit, number, body.given_by(caller)))


@router.post(
    "/{number}/cancel",
    operation_id="cancelJob",
    responses=problems(JobNotFound, JobFinished, JobBusy),
)
async def cancel_job(
    number: Number, body: Reason, caller: Operator, jobs: JobsDep, unit: UnitDep
) -> Job:
    """Give a job up for good, dead or not; returns its old state."""
    return _shown(await jobs.cancel(unit, number, body.given_by(caller)))


def _shown(job: JobRow) -> Job:
    return Job(**_fields(job))


def _fields(job: JobRow) -> dict[str, Any]:
    names = Job.model_fields.keys() - {"number"}
    return {"number": job.id, **{name: getattr(job, name) for name in names}}
