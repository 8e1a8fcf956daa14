"""Durable jobs: enqueued in the caller's transaction, run by the service's workers."""

from typing import TYPE_CHECKING

from chassis.first_use import at_first_use

if TYPE_CHECKING:
    from chassis.jobs.arguments import JobArguments, Priority
    from chassis.jobs.enqueueing import ArgumentsTooLargeError, Jobs, insert_jobs
    from chassis.jobs.kinds import (
        BatchJob,
        InsideJob,
        InsideRun,
        JobKinds,
        OutsideJob,
        OutsideRun,
        PermanentError,
        PostponedError,
        Retry,
    )
    from chassis.jobs.schedules import Schedule
    from chassis.jobs.tables import declare_job_tables

__all__ = [
    "ArgumentsTooLargeError",
    "BatchJob",
    "InsideJob",
    "InsideRun",
    "JobArguments",
    "JobKinds",
    "Jobs",
    "OutsideJob",
    "OutsideRun",
    "PermanentError",
    "PostponedError",
    "Priority",
    "Retry",
    "Schedule",
    "declare_job_tables",
    "insert_jobs",
]

__getattr__ = at_first_use(
    __name__,
    {
        "ArgumentsTooLargeError": "enqueueing",
        "BatchJob": "kinds",
        "InsideJob": "kinds",
        "InsideRun": "kinds",
        "JobArguments": "arguments",
        "JobKinds": "kinds",
        "Jobs": "enqueueing",
        "OutsideJob": "kinds",
        "OutsideRun": "kinds",
        "PermanentError": "kinds",
        "PostponedError": "kinds",
        "Priority": "arguments",
        "Retry": "kinds",
        "Schedule": "schedules",
        "declare_job_tables": "tables",
        "insert_jobs": "enqueueing",
    },
)
