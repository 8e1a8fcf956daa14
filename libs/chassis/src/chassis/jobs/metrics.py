"""The metrics of jobs; their labels are queues and declared kinds, so values are few."""

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from chassis.jobs.leases import QueueState
from chassis.messaging.measurement import Measurement

UNDECLARED = "undeclared"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class JobMetrics:
    """The metrics of the jobs of a worker.

    Args:
        registry: the registry of the process.
        kinds: the names of the declared kinds; all others share one label value.
        queues: the names of the queues.
    """

    def __init__(
        self, registry: CollectorRegistry, *, kinds: Collection[str], queues: Collection[str]
    ) -> None:
        self._kinds = frozenset(kinds)
        self._attempts = Counter(
            "job_attempts_total",
            "Attempts by outcome: done; failed (tried again), dead, interrupted (by our "
            "own PostgreSQL, not counted as an attempt), postponed (by its handler, likewise not "
            "counted), handed-back (the worker stopped), lost "
            "(the lease expired or the job was cancelled), undeclared (no such kind yet).",
            ["kind", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "job_seconds",
            "Time of one attempt, or of one batch.",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.delay = Histogram(
            "job_start_delay_seconds",
            "Time from when a job was due to its lease.",
            ["queue"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.expired = Counter(
            "job_leases_expired_total",
            "Leases that expired, by what became of the job: waiting, dead. A worker died or was "
            "frozen.",
            ["state"],
            registry=registry,
        )
        for state in ("waiting", "dead"):  # a counter whose first value is 8 shows no increase
            self.expired.labels(state)
        self._queues = Measurement(
            name="jobs",
            gauges={
                "jobs_waiting": "Jobs that wait, including those due later; counted up to "
                "100,001. Each worker shows the total: take the maximum.",
                "jobs_running": "Jobs that are leased.",
                "jobs_dead": "Dead jobs: no longer retried (alert).",
                "jobs_oldest_due_seconds": "How long the oldest due job has waited.",
            },
            labels=["queue"],
            registry=registry,
        )
        for queue in queues:
            self._queues.expect(queue)

    def count(self, kind: str, outcome: str, number: int = 1) -> None:
        """Count attempts by kind and outcome."""
        self._attempts.labels(self._label(kind), outcome).inc(number)

    def observe(self, kind: str, seconds: float) -> None:
        """Record how long an attempt took."""
        self._seconds.labels(self._label(kind)).observe(seconds)

    def show(self, queues: Mapping[str, QueueState], *, seconds: float) -> None:
        """Set the gauges of each queue; they are exposed for `seconds`."""
        for queue, state in queues.items():
            self._queues.show(
                queue,
                values={
                    "jobs_waiting": state.waiting,
                    "jobs_running": state.running,
                    "jobs_dead": state.dead,
                    "jobs_oldest_due_seconds": state.age,
                },
                seconds=seconds,
            )

    def _label(self, kind: str) -> str:
        return kind if kind in self._kinds else UNDECLARED
