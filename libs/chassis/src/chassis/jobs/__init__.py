"""Durable jobs: enqueued in the caller's transaction, run by the service's workers."""

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
    "Priority",
    "Retry",
    "Schedule",
    "declare_job_tables",
    "insert_jobs",
]
