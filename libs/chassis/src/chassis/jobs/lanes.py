"""A lane: leases the jobs of one queue, and keeps its slots busy."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from chassis.jobs.execution import Execution
from chassis.jobs.leases import Held, LeasedJob, Leases
from chassis.jobs.metrics import JobMetrics

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.002
# About the time that a lease takes. Then a job that runs is over once the next one is leased.
_SHORT_SECONDS = 0.02
_WEIGHT_OF_LAST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """The options of one lane.

    Attributes:
        queue: the queue whose jobs it runs.
        slots: how many jobs, or batches, run at a time.
        batch: how many jobs run together.
        poll_seconds: how long a lost hint may delay a job.
        inside: whether all kinds of the queue run inside a transaction.
    """

    queue: str
    slots: int
    batch: int
    poll_seconds: float
    inside: bool


class Lane:
    """Runs the jobs of one queue. The jobs outlive the connection that leased them.

    It leases no more than can start at once, after a COMMIT that was sent, or after short jobs. A
    job that waited in the memory of a worker that dies would be stuck until its lease expires, and
    lose an attempt that never began.

    Args:
        options: the options of this lane.
        execution: runs the jobs.
        metrics: records how long jobs waited.
    """

    def __init__(
        self, *, options: LaneOptions, execution: Execution[Any], metrics: JobMetrics
    ) -> None:
        self._options = options
        self._execution = execution
        self._metrics = metrics
        self._woken = asyncio.Event()
        self._freed = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Sequence[LeasedJob]] = {}
        self._committing: set[asyncio.Task[None]] = set()
        self._next: deque[Sequence[LeasedJob]] = deque()
        self._usual_seconds = 1.0
        self._finishing = False

    def wake(self) -> None:
        """Look for jobs at once."""
        self._woken.set()

    @property
    def held(self) -> set[Held]:
        """The leases of the jobs that run or start next."""
        return {held for jobs in (*self._tasks.values(), *self._next) for held in _held(jobs)}

    async def run(self, leases: Leases) -> None:
        """Lease and start jobs for as long as the connection lives."""
        while True:
            self._woken.clear()
            self._freed.clear()
            wanted = self._free * self._options.batch
            found = await self._lease(leases, wanted) if wanted > 0 else []
            for first in range(0, len(found), self._options.batch):
                self._next.append(found[first : first + self._options.batch])
            self._start_next()
            if len(found) < wanted:  # no more jobs are due
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._options.poll_seconds)
            else:
                if self._free <= 0:
                    await self._freed.wait()
                # Short jobs end close together: one statement then leases for all of them. A COMMIT
                # takes about as long, so no slot waits for it.
                await asyncio.sleep(_GATHER_SECONDS)

    def stop_jobs(self, lost: set[Held]) -> None:
        """Cancel jobs whose lease is lost; cancel a batch only if all its leases are lost."""
        for task, jobs in self._tasks.items():
            if lost.issuperset(_held(jobs)):
                log.warning("job lease lost", kind=jobs[0].kind, id=jobs[0].id)
                task.cancel()
        for jobs in [jobs for jobs in self._next if lost.issuperset(_held(jobs))]:
            log.warning("job lease lost", kind=jobs[0].kind, id=jobs[0].id)
            self._next.remove(jobs)
            self._count(jobs, "lost")

    async def finish(self, seconds: float) -> set[UUID]:
        """Wait `seconds` for running jobs, cancel the rest, and return the leases of those."""
        unstarted = list(self._next)
        self._next.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._finishing = True
        left = dict(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for jobs in unstarted:
            self._count(jobs, "handed-back")
        return {jobs[0].lease for jobs in (*left.values(), *unstarted)}

    @property
    def _free(self) -> int:
        """How many slots have no job to run next, and are idle, only commit, or end in a moment."""
        busy = 0 if self._short else len(self._tasks) - len(self._committing)
        return self._options.slots - busy - len(self._next)

    @property
    def _short(self) -> bool:
        """Whether jobs of this queue are usually over before a lease for the next ones is.

        Not for jobs outside a transaction, whose lease waits for the disk and whose end may.
        """
        return self._options.inside and self._usual_seconds < _SHORT_SECONDS

    async def _lease(self, leases: Leases, wanted: int) -> list[LeasedJob]:
        """Lease jobs; wait for the disk only if an effect could outlive a lease that is lost.

        The effect of a job inside a transaction commits with its completion, whose COMMIT flushes
        the lease as well, because it is earlier in the log. If PostgreSQL crashes before that, the
        job waits in its place, and the attempt is not counted. A job outside a transaction would
        run twice.
        """
        return await leases.lease(self._options.queue, wanted, durable=not self._options.inside)

    def _start_next(self) -> None:
        while self._next and len(self._tasks) < self._options.slots:
            self._start(self._next.popleft())

    def _start(self, jobs: Sequence[LeasedJob]) -> None:
        task: asyncio.Task[None]

        for job in jobs:
            self._metrics.delay.labels(self._options.queue).observe(job.waited)
        running = self._execution.run(jobs, on_commit=lambda sent: self._commits(task, sent=sent))
        task = asyncio.create_task(running, name=f"job {jobs[0].kind}")
        self._tasks[task] = jobs
        begun = time.monotonic()
        task.add_done_callback(lambda ended: self._ended(ended, time.monotonic() - begun))

    def _commits(self, task: asyncio.Task[None], *, sent: bool) -> None:
        """Let the lane lease the slot's next jobs while PostgreSQL commits the last ones.

        Not so for jobs outside a transaction: to record their end may take as long as an outage,
        and another worker may have the lease of the next one by then.
        """
        if sent:
            self._committing.add(task)
        else:
            self._committing.discard(task)
        self._freed.set()

    def _ended(self, task: asyncio.Task[None], seconds: float) -> None:
        self._usual_seconds += (seconds - self._usual_seconds) * _WEIGHT_OF_LAST
        jobs = self._tasks.pop(task)
        self._committing.discard(task)
        self._freed.set()
        self._start_next()
        if task.cancelled():
            self._count(jobs, "handed-back" if self._finishing else "lost")
        elif (error := task.exception()) is not None:
            log.error("job not settled", kind=jobs[0].kind, id=jobs[0].id, exc_info=error)

    def _count(self, jobs: Sequence[LeasedJob], outcome: str) -> None:
        for job in jobs:
            self._metrics.count(job.kind, outcome)


def _held(jobs: Sequence[LeasedJob]) -> list[Held]:
    return [(job.id, job.lease) for job in jobs]
