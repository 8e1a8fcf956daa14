"""Runs leased jobs: inside a transaction, in batches, or outside a transaction; settles them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from opentelemetry import trace
from pydantic import ValidationError

from chassis.cancellation import guarded
from chassis.database.database import Database
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.unit import Unit
from chassis.error_text import describe
from chassis.jobs.kinds import (
    BatchJob,
    InsideJob,
    InsideRun,
    JobKind,
    JobKinds,
    OutsideJob,
    OutsideRun,
    PermanentError,
    PostponedError,
)
from chassis.jobs.leases import LeasedJob
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.settling import Fate, complete, fate_of_failure, settle
from chassis.jobs.tables import DEAD, WAITING
from chassis.telemetry.tracing import context_from, span_from

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)

_PAUSE_SECONDS = 1.0
_UNDECLARED_DELAY_SECONDS = 15.0
# While a release rolls out, older workers lease kinds that only newer ones declare.
_UNDECLARED_SECONDS = 900.0


class JobTimeoutError(Exception):
    """A handler took longer than its kind allows."""


@dataclass(frozen=True, slots=True)
class _Ready[K]:
    """A job whose kind is declared and whose arguments fit it."""

    job: LeasedJob
    kind: K
    arguments: Any


def _problem_of(error: ValidationError) -> str:
    """Return which fields are wrong, without their values, which may be personal data."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}"
        for one in error.errors(include_url=False, include_input=False)
    )


class OnCommit(Protocol):
    """Notes that only the COMMIT of a job is left, or that it failed."""

    def __call__(self, *, sent: bool) -> None:
        """Note it; `sent` is false if the transaction failed."""


def _nobody(*, sent: bool) -> None:
    del sent


class Execution[R]:
    """Runs the jobs of one service.

    Args:
        database: the service's database.
        kinds: the kinds of jobs, with their handlers.
        resources: passed to each handler.
        metrics: counts the outcomes.
    """

    def __init__(
        self, *, database: Database, kinds: JobKinds[R], resources: R, metrics: JobMetrics
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._resources = resources
        self._metrics = metrics

    async def run(self, jobs: Sequence[LeasedJob], *, on_commit: OnCommit = _nobody) -> None:
        """Run jobs of one lease and queue, and settle them; raise no error of a job.

        Args:
            jobs: the jobs.
            on_commit: called for jobs inside a transaction.
        """
        ready = [one for job in jobs if (one := await self._read(job)) is not None]
        batch: list[_Ready[BatchJob[Any, R]]] = []
        for one in ready:
            match one.kind:
                case BatchJob() as kind:
                    batch.append(_Ready(one.job, kind, one.arguments))
                case InsideJob() as kind:
                    await self._run_inside(_Ready(one.job, kind, one.arguments), on_commit)
                case OutsideJob() as kind:
                    await self._run_outside(_Ready(one.job, kind, one.arguments))
        if batch:
            await self._run_batch(batch, on_commit)

    async def _read(self, job: LeasedJob) -> _Ready[JobKind[R]] | None:
        kind = self._kinds.find(job.kind)
        if kind is None:
            await self._settle_undeclared(job)
            return None
        try:
            arguments = kind.arguments.model_validate_json(job.arguments)
        except ValidationError as error:
            problem = _problem_of(error)
        else:
            return _Ready(job, kind, arguments)
        text = f"the arguments do not fit {job.kind}: {problem}"[:2000]
        await self._settle(job, Fate(state=DEAD, error=text), outcome="dead")
        log.error("job arguments rejected", kind=job.kind, id=job.id, error=text)
        return None

    async def _settle_undeclared(self, job: LeasedJob) -> None:
        """Let the job wait for a release that declares its kind; after 15 minutes it is dead."""
        text = (
            f"this release declares no job {job.kind}: deploy one that does, "
            "then redrive the job, or cancel it"
        )
        fate = Fate(state=DEAD, error=text)
        if (job.undeclared or 0) < _UNDECLARED_SECONDS:
            fate = Fate(
                state=WAITING,
                error=text,
                delay=_UNDECLARED_DELAY_SECONDS,
                counted=False,
                undeclared=True,
            )
        await self._settle(job, fate, outcome="dead" if fate.state == DEAD else "undeclared")
        log.error("job kind undeclared", kind=job.kind, id=job.id, state=fate.state)

    async def _run_inside(self, one: _Ready[InsideJob[Any, R]], on_commit: OnCommit) -> None:
        kind, job = one.kind, one.job

        async def handle(unit: Unit) -> None:
            run = self._inside_run(unit, job)
            with self._span(job):
                await kind.handler(one.arguments, run)

        try:
            done = await self._in_transaction([one], lambda unit, _: handle(unit), on_commit)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            await self._failed(one, error)
        else:
            self._count_done(kind, 1, done)

    async def _run_batch(
        self, batch: Sequence[_Ready[BatchJob[Any, R]]], on_commit: OnCommit
    ) -> None:
        """Run a batch; if it fails, run its jobs one by one, so that only the bad ones fail."""
        kind = batch[0].kind

        async def handle(unit: Unit, still_ours: set[int]) -> None:
            ours = [one for one in batch if one.job.id in still_ours]
            run = self._inside_run(unit, ours[0].job)
            with self._batch_span(ours):
                await kind.handler([one.arguments for one in ours], run)

        try:
            done = await self._in_transaction(batch, handle, on_commit)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            if len(batch) == 1 or is_infrastructure_error(error):
                for one in batch:
                    await self._failed(one, error)
                return
            log.warning("job batch failed", kind=kind.arguments.kind, error=describe(error))
        else:
            self._count_done(kind, len(batch), done)
            return
        for one in batch:  # the slot is not free before the last of them
            await self._run_batch([one], _nobody)

    async def _in_transaction(
        self,
        jobs: Sequence[_Ready[Any]],
        handle: Callable[[Unit, set[int]], Awaitable[None]],
        on_commit: OnCommit,
    ) -> int:
        """Complete jobs and run their handler in one transaction; return how many were ours.

        Completing comes first: its row locks keep others from leasing or cancelling the jobs.
        """

        async def commits(_: Unit) -> None:
            on_commit(sent=True)

        try:
            async with self._database.transaction() as unit:
                still_ours = await complete(unit, [one.job for one in jobs])
                if still_ours:
                    await self._timed(jobs[0].kind, handle(unit, still_ours))
                unit.before_commit(commits)  # after the steps of the handler
        except BaseException:
            on_commit(sent=False)
            raise
        return len(still_ours)

    async def _run_outside(self, one: _Ready[OutsideJob[Any, R]]) -> None:
        kind, job = one.kind, one.job
        run = OutsideRun(resources=self._resources, job_id=job.id, attempt=job.attempts)
        try:
            with self._span(job):
                await self._timed(kind, kind.handler(one.arguments, run))
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            await self._failed(one, error)
        else:
            self._count_done(kind, 1, await self._completed(job))

    async def _completed(self, job: LeasedJob) -> int:
        """Mark a job as done after its effect; return 0 if its lease is no longer ours."""

        async def work(unit: Unit) -> int:
            return len(await complete(unit, [job]))

        return await self._persist(job, work)

    async def _persist[T](self, job: LeasedJob, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Record what became of a job; retry for as long as PostgreSQL is unavailable.

        Once PostgreSQL is back, the lease is renewed as well. If another worker has leased the job
        by then, `work` changes nothing.
        """
        while True:
            try:
                async with self._database.transaction() as unit:
                    return await work(unit)
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("job not settled yet", kind=job.kind, id=job.id, error=describe(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _timed(self, kind: JobKind[R], work: Awaitable[None]) -> None:
        begun = time.monotonic()
        limit = asyncio.timeout(kind.time_limit)
        try:
            async with limit:
                await guarded(work)
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"{kind.arguments.kind} took longer than {kind.time_limit:g} s"
            raise JobTimeoutError(text) from error
        finally:
            self._metrics.observe(kind.arguments.kind, time.monotonic() - begun)

    async def _failed(self, one: _Ready[Any], error: Exception) -> None:
        """Settle a job whose attempt failed; don't count the attempt if our database failed."""
        job, text = one.job, describe(error)
        if isinstance(error, PostponedError):
            delay = error.delay.total_seconds()
            fate = Fate(state=WAITING, delay=delay, counted=False)
            await self._settle(job, fate, outcome="postponed")
            return
        if is_infrastructure_error(error):
            fate = Fate(state=WAITING, delay=_PAUSE_SECONDS, counted=False)
            outcome = "interrupted"
        else:
            permanent = isinstance(error, PermanentError)
            fate = fate_of_failure(one.kind.retry, job.attempts, text, permanent=permanent)
            outcome = "dead" if fate.state == DEAD else "failed"
        await self._settle(job, fate, outcome=outcome)
        log.log(
            logging.WARNING if outcome == "interrupted" else logging.ERROR,
            "job failed",
            kind=job.kind,
            id=job.id,
            attempts=job.attempts,
            outcome=outcome,
            error=text,
        )

    async def _settle(self, job: LeasedJob, fate: Fate, *, outcome: str) -> None:
        ours = await self._persist(job, lambda unit: settle(unit, job, fate))
        self._metrics.count(job.kind, outcome if ours else "lost")

    def _count_done(self, kind: JobKind[R], tried: int, done: int) -> None:
        if done:
            self._metrics.count(kind.arguments.kind, "done", done)
        if tried > done:
            self._metrics.count(kind.arguments.kind, "lost", tried - done)

    def _inside_run(self, unit: Unit, job: LeasedJob) -> InsideRun[R]:
        return InsideRun(unit=unit, resources=self._resources, job_id=job.id, attempt=job.attempts)

    def _span(self, job: LeasedJob) -> span_from:
        """Return the span of one job, a child of the span that enqueued it."""
        headers = {} if job.traceparent is None else {"traceparent": job.traceparent}
        return span_from(
            tracer,
            f"run {job.kind}",
            headers,
            kind=trace.SpanKind.CONSUMER,
            attributes={"job.id": job.id, "job.kind": job.kind, "job.attempt": job.attempts},
        )

    def _batch_span(self, jobs: Sequence[_Ready[Any]]) -> span_from:
        """Return the span of a batch, linked to each job's trace; for one job, the job's span."""
        if len(jobs) == 1:
            return self._span(jobs[0].job)
        contexts = [
            trace.get_current_span(context_from({"traceparent": parent})).get_span_context()
            for one in jobs
            if (parent := one.job.traceparent) is not None
        ]
        kind = jobs[0].kind.arguments.kind
        return span_from(
            tracer,
            f"run batch {kind}",
            {},
            kind=trace.SpanKind.CONSUMER,
            attributes={"job.kind": kind, "job.batch_size": len(jobs)},
            links=[trace.Link(context) for context in contexts],
        )
