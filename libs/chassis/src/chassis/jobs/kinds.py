"""The kinds of jobs that a service declares: their handlers, and what happens after a failure."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chassis.backoff import full_jitter
from chassis.database.limits import HANDLER_SECONDS
from chassis.database.unit import Unit
from chassis.jobs.arguments import DEFAULT_QUEUE, JobArguments
from chassis.jobs.schedules import Schedule

_SLOTS = 8


class PermanentError(Exception):
    """Raised by a handler when no retry can succeed; the job is dead at once."""


class PostponedError(Exception):
    """Raised by a handler whose work has to wait: it is due again after a delay.

    The attempt is not counted, and it is no failure.

    Args:
        delay: the time until the job is due again.
    """

    def __init__(self, delay: timedelta) -> None:
        super().__init__(f"due again in {delay.total_seconds():g} s")
        self.delay = delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failed job is retried, and how long it waits between attempts.

    Attributes:
        attempts: the number of attempts, the first included, before the job is dead.
        first_delay: the maximum seconds before the second attempt; doubled with each attempt.
        longest_delay: the maximum seconds between two attempts.
    """

    attempts: int = 10
    first_delay: float = 1.0
    longest_delay: float = 3600.0

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after `attempts`, from 1: exponential, full jitter."""
        return full_jitter(attempts, first=self.first_delay, longest=self.longest_delay)


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideRun[R]:
    """What a handler that runs inside a transaction gets.

    Attributes:
        unit: the transaction, which also completes the job; the handler must not commit.
        resources: what the worker holds.
        job_id: the job's id; in a batch, the id of the first job.
        attempt: the number of this attempt, from 1.
    """

    unit: Unit
    resources: R
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideRun[R]:
    """What a handler that runs outside a transaction gets.

    Attributes:
        resources: what the worker holds; the handler opens its own transactions.
        job_id: the same in each attempt, so that a third party can recognize a repetition by it.
        attempt: the number of this attempt, from 1.
    """

    resources: R
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class InsideJob[A: JobArguments, R]:
    """A kind whose effect and completion are one transaction: exactly once.

    Attributes:
        arguments: the model of the arguments, which names the kind and the queue.
        handler: takes effect in the run's session.
        retry: what happens after a failure.
        time_limit: seconds that the handler may take, HANDLER_SECONDS at most.
    """

    arguments: type[A]
    handler: Callable[[A, InsideRun[R]], Awaitable[None]]
    retry: Retry = field(default=Retry(), kw_only=True)
    time_limit: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        """Reject a time limit that PostgreSQL would cut short."""
        _check_time_limit(self.arguments, self.time_limit)


@dataclass(frozen=True, slots=True)
class BatchJob[A: JobArguments, R]:
    """A kind whose jobs run in batches, each in one transaction: exactly once.

    A batch that fails is run again job by job, so that one bad job fails alone. The kind needs a
    separate queue.

    Attributes:
        arguments: as for InsideJob.
        handler: gets the arguments of the whole batch.
        size: the maximum number of jobs in a batch.
        retry: as for InsideJob.
        time_limit: seconds that the handler may take for a batch, HANDLER_SECONDS at most.
    """

    arguments: type[A]
    handler: Callable[[Sequence[A], InsideRun[R]], Awaitable[None]]
    size: int = field(default=100, kw_only=True)
    retry: Retry = field(default=Retry(), kw_only=True)
    time_limit: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        """Reject a time limit that PostgreSQL would cut short."""
        _check_time_limit(self.arguments, self.time_limit)


@dataclass(frozen=True, slots=True)
class OutsideJob[A: JobArguments, R]:
    """A kind that runs outside a transaction, for work that takes long: at least once.

    The job's lease is renewed while it runs.

    Attributes:
        arguments: as for InsideJob.
        handler: must be safe to run again.
        retry: as for InsideJob.
        time_limit: seconds that the handler may take.
    """

    arguments: type[A]
    handler: Callable[[A, OutsideRun[R]], Awaitable[None]]
    retry: Retry = field(default=Retry(), kw_only=True)
    time_limit: float = field(default=60.0, kw_only=True)


type JobKind[R] = InsideJob[Any, R] | BatchJob[Any, R] | OutsideJob[Any, R]


def _check_time_limit(arguments: type[JobArguments], seconds: float) -> None:
    if not 0 < seconds <= HANDLER_SECONDS:
        message = (
            f"the job {arguments.kind} has time_limit={seconds:g}: inside a transaction it may be "
            f"more than 0 and at most {HANDLER_SECONDS:g} s, as PostgreSQL ends longer ones. Do "
            "long work in smaller jobs, or in an OutsideJob"
        )
        raise ValueError(message)


class JobKinds[R]:
    """All kinds of jobs and schedules of one service.

    Args:
        kinds: one for each model of arguments.
        schedules: the periodic jobs.
        slots: how many jobs (or batches) of a queue one worker runs at a time; 8 for a queue that
            is not named.

    Raises:
        ValueError: the declaration contradicts itself; the text says what to change.
    """

    def __init__(
        self,
        *,
        kinds: Iterable[JobKind[R]] = (),
        schedules: Iterable[Schedule] = (),
        slots: Mapping[str, int] | None = None,
    ) -> None:
        self._kinds: dict[str, JobKind[R]] = {}
        for kind in kinds:
            name = kind.arguments.kind
            if name in self._kinds:
                message = f"the job {name} has two handlers: declare one"
                raise ValueError(message)
            self._kinds[name] = kind
        self.schedules = tuple(schedules)
        self._slots = dict(slots or {})
        self._check_queues()
        self._check_schedules()

    @property
    def queues(self) -> dict[str, int]:
        """How many jobs of each queue one worker runs at a time; always includes ``default``."""
        names = {DEFAULT_QUEUE, *(kind.arguments.queue for kind in self._kinds.values())}
        return {name: self._slots.get(name, _SLOTS) for name in sorted(names)}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all kinds."""
        return tuple(sorted(self._kinds))

    def find(self, name: str) -> JobKind[R] | None:
        """Return the kind of this name; None if the service does not declare it."""
        return self._kinds.get(name)

    def batch_size(self, queue: str) -> int:
        """Return how many jobs of a queue run together: 1, unless its kind is a BatchJob."""
        sizes = [
            kind.size
            for kind in self._kinds.values()
            if isinstance(kind, BatchJob) and kind.arguments.queue == queue
        ]
        return sizes[0] if sizes else 1

    def runs_inside(self, queue: str) -> bool:
        """Return whether all kinds of a queue run inside a transaction."""
        return not any(
            isinstance(kind, OutsideJob) and kind.arguments.queue == queue
            for kind in self._kinds.values()
        )

    def extended(
        self, *, kinds: Iterable[JobKind[R]], schedules: Iterable[Schedule]
    ) -> "JobKinds[R]":
        """Return a copy with more kinds and schedules."""
        return JobKinds(
            kinds=[*self._kinds.values(), *kinds],
            schedules=[*self.schedules, *schedules],
            slots=self._slots,
        )

    def _check_queues(self) -> None:
        for kind in self._kinds.values():
            queue = kind.arguments.queue
            if not isinstance(kind, BatchJob):
                continue
            others = [one for one in self._kinds.values() if one.arguments.queue == queue]
            if queue == DEFAULT_QUEUE or len(others) > 1:
                message = (
                    f"the batched job {kind.arguments.kind} shares the queue {queue!r}: set "
                    "`queue` of its arguments to one that no other kind has"
                )
                raise ValueError(message)
        if unknown := self._slots.keys() - self.queues.keys():
            message = f"slots name queues without a kind: {', '.join(sorted(unknown))}"
            raise ValueError(message)

    def _check_schedules(self) -> None:
        names = [schedule.name for schedule in self.schedules]
        for schedule in self.schedules:
            if schedule.arguments.kind not in self._kinds:
                message = f"the schedule {schedule.name} has no kind: declare a job for it"
                raise ValueError(message)
            if names.count(schedule.name) > 1:
                message = f"two schedules are named {schedule.name}: name them apart"
                raise ValueError(message)
