"""The part of a worker that runs jobs: lanes, renewal of leases, schedules, and their metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from chassis.cancellation import GuardedTaskGroup, to_the_end
from chassis.database.connecting import QUEUE_PLANS
from chassis.database.database import Database
from chassis.database.errors import DRIVER_ERRORS
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.migrated import database_not_ready, needs_migrations
from chassis.error_text import describe
from chassis.jobs.enqueueing import jobs_channel
from chassis.jobs.execution import Execution
from chassis.jobs.kinds import JobKinds
from chassis.jobs.lanes import Lane, LaneOptions
from chassis.jobs.leases import Held, Leases
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.scheduler import Scheduler
from chassis.jobs.settling import hand_back, pull_back, take_expired
from chassis.loops import Failures, for_ever

log = structlog.get_logger(__name__)

_STOP_PATIENCE_SECONDS = 10.0
# A release with a longer lease may share the queues.
_LONGEST_LEASE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPace:
    """The intervals of a worker that runs jobs.

    Attributes:
        poll_seconds: how long a lost hint may delay a job.
        lease_seconds: how long the jobs of a dead worker wait for another; leases are renewed
            after a third of it.
        gauge_seconds: the time between two measurements.
        finish_seconds: the time that running jobs have to finish when the worker stops.
        check_seconds: the time between two checks of leases that a wrong clock has given.
    """

    poll_seconds: float = 1.0
    lease_seconds: float = 30.0
    gauge_seconds: float = 5.0
    finish_seconds: float = 2.0
    check_seconds: float = 60.0

    @property
    def renewal_seconds(self) -> float:
        """The time between two renewals of a lease, so that two may fail before it expires."""
        return self.lease_seconds / 3


class JobWorker[R]:
    """Runs the jobs of one service for as long as the process lives; several share the work.

    Args:
        service: names the channel of hints.
        database: the service's database.
        kinds: the kinds of jobs, with their handlers, and the schedules.
        resources: passed to each handler.
        metrics: the metrics of the process.
        scheduler: enqueues periodic jobs.
        pace: the worker's intervals.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        kinds: JobKinds[R],
        resources: R,
        metrics: JobMetrics,
        scheduler: Scheduler,
        pace: JobPace | None = None,
    ) -> None:
        self._service = service
        self._name = f"{service}-jobs"
        self._database = database
        self._kinds = kinds
        self._metrics = metrics
        self._scheduler = scheduler
        self._pace = pace or JobPace()
        self._unsure: set[UUID] = set()
        execution = Execution(database=database, kinds=kinds, resources=resources, metrics=metrics)
        self._lanes = {
            queue: Lane(
                options=LaneOptions(
                    queue=queue,
                    slots=slots,
                    batch=kinds.batch_size(queue),
                    poll_seconds=self._pace.poll_seconds,
                    inside=kinds.runs_inside(queue),
                ),
                execution=execution,
                metrics=metrics,
            )
            for queue, slots in kinds.queues.items()
        }

    async def run(self) -> None:
        """Run jobs until cancelled, then hand back unfinished ones."""
        try:
            async with GuardedTaskGroup() as group:
                group.create_task(self._keep_connected())
                group.create_task(self._repeat("schedules", self._scheduler.enqueue_due))
                group.create_task(
                    self._repeat("times of leases", self._pull_back, self._pace.check_seconds)
                )
        finally:
            await to_the_end(self._stop(), patience=_STOP_PATIENCE_SECONDS)

    async def _keep_connected(self) -> None:
        failures = Failures()

        async def work() -> None:
            with needs_migrations():
                async with self._database.direct.opened(
                    self._name, settings=QUEUE_PLANS
                ) as connection:
                    await self._work(connection, failures)

        await for_ever(work, every=0, name=self._name, passes=database_not_ready, failures=failures)

    async def _work(self, connection: asyncpg.Connection, failures: Failures) -> None:
        """Lease with one connection for as long as it lives."""
        leases = Leases(
            connection=connection,
            duration=timedelta(seconds=self._pace.lease_seconds),
            unsure=self._unsure,
        )
        await connection.add_listener(
            jobs_channel(self._service), lambda *arguments: self._wake(str(arguments[3]))
        )
        await self._hand_back(set())
        try:
            async with GuardedTaskGroup() as group:
                for lane in self._lanes.values():
                    group.create_task(lane.run(leases))
                group.create_task(self._renew(leases))
                group.create_task(self._expire())
                group.create_task(self._measure(leases, failures))
        except ExceptionGroup as errors:
            # Each task raises when the connection ends; the caller handles a single error.
            raise _worst_of(errors) from errors

    def _wake(self, queue: str) -> None:
        if queue in self._lanes:
            self._lanes[queue].wake()

    async def _renew(self, leases: Leases) -> None:
        """Renew at once, as the jobs outlive the connection before this one, and then in time."""
        while True:
            lost = await leases.renew(self._held)
            for lane in self._lanes.values():
                lane.stop_jobs(lost)
            await asyncio.sleep(self._pace.renewal_seconds)

    async def _measure(self, leases: Leases, failures: Failures) -> None:
        while True:
            queues = await leases.measure(list(self._lanes))
            failures.clear()  # not on connecting: the tables may still be missing
            self._metrics.show(queues, seconds=3 * self._pace.gauge_seconds + 10)
            await asyncio.sleep(self._pace.gauge_seconds)

    @property
    def _held(self) -> set[Held]:
        return {held for lane in self._lanes.values() for held in lane.held}

    async def _expire(self) -> None:
        """Take expired leases, but after an outage only once the other workers could renew theirs.

        They reconnect within the longest delay of their back-off.
        """
        await asyncio.sleep(self._pace.renewal_seconds)
        await self._repeat("expiry", self._take_expired)

    async def _take_expired(self) -> None:
        """Take the expired leases of others: this worker runs its jobs, and renews its leases."""
        async with self._database.transaction() as unit:
            own = {lease for _, lease in self._held}
            expired = await take_expired(unit, self._kinds, own=own)
        for state, number in expired.items():
            log.error("job leases expired", state=state, jobs=number)
            self._metrics.expired.labels(state).inc(number)

    async def _pull_back(self) -> None:
        longest = timedelta(seconds=self._pace.lease_seconds * _LONGEST_LEASE)
        async with self._database.transaction() as unit:
            number = await pull_back(unit, longest)
        if number:
            log.warning("job leases pulled back", jobs=number)

    async def _repeat(
        self, name: str, work: Callable[[], Awaitable[object]], every: float | None = None
    ) -> None:
        """Repeat `work`; retry while PostgreSQL is unavailable or not migrated."""

        async def turn() -> None:
            with needs_migrations():
                await work()

        await for_ever(
            turn,
            every=self._pace.poll_seconds if every is None else every,
            name=f"{self._name} {name}",
            passes=database_not_ready,
        )

    async def _stop(self) -> None:
        finishing = [lane.finish(self._pace.finish_seconds) for lane in self._lanes.values()]
        left = set[UUID]().union(*await asyncio.gather(*finishing))
        try:
            await self._hand_back(left)
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            log.warning("jobs not handed back: their leases will expire", error=describe(error))

    async def _hand_back(self, leases: set[UUID]) -> None:
        """Hand back the jobs of `leases`, and of leases whose result may have been lost."""
        leases = leases | self._unsure
        if not leases:
            return
        async with self._database.transaction() as unit:
            number = await hand_back(unit, leases)
        self._unsure -= leases
        if number:
            log.info("jobs handed back", jobs=number)


def _worst_of(errors: ExceptionGroup[Exception]) -> Exception:
    """Return an error that is not the database driver's, or else the first."""
    return min(errors.exceptions, key=lambda error: isinstance(error, DRIVER_ERRORS))
