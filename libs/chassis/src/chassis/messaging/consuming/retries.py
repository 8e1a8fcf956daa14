"""Retries parked messages, each queue in its order, until they take effect or are dead."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from chassis.cancellation import GuardedTaskGroup, guarded
from chassis.database.database import Database
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.unit import Unit
from chassis.error_text import describe
from chassis.loops import for_ever
from chassis.messaging.consuming.batch import DEAD_AT_ONCE
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.inbox import DONE, IGNORED, SKIPPED, Inbox
from chassis.messaging.consuming.parking import (
    DEAD,
    RETRYING,
    UNKNOWN,
    ParkedRecord,
    Parking,
    Queue,
)
from chassis.messaging.consuming.subscriptions import FailurePolicy
from chassis.messaging.metrics import ParkingMetrics

log = structlog.get_logger(__name__)

_WORKERS = 4
_GAUGE_SECONDS = 5.0
_CHECK_SECONDS = 60.0
# A release with longer delays may share the database.
_LONGEST_DELAY = 2


class Retries[R]:
    """The retry loop of one service; any number of processes may run it.

    Args:
        service: the consumer's name in inbox and parking.
        database: the service's database.
        handling: the handlers.
        metrics: the metrics of parked messages.
        poll_seconds: the time between two searches for a due queue.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        handling: Handling[R],
        metrics: ParkingMetrics,
        poll_seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._handling = handling
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._inbox = Inbox(consumer=service)
        self._parking = Parking(consumer=service)

    async def run(self) -> None:
        """Retry until cancelled; wait while PostgreSQL is unavailable."""
        async with GuardedTaskGroup() as group:
            # Several tasks, so that a slow handler of one key doesn't delay the others.
            for _ in range(_WORKERS):
                group.create_task(self._repeat(self.work_one, "retries"))
            if self._handling.subscriptions.overtaking:
                group.create_task(self._repeat(self.overtake_one, "overtaking"))
            group.create_task(self._repeat(self._measure, "gauges of parking", _GAUGE_SECONDS))
            group.create_task(self._repeat(self.pull_back, "times of retries", _CHECK_SECONDS))

    async def _repeat(
        self, work: Callable[[], Awaitable[bool | None]], name: str, every: float | None = None
    ) -> None:
        await for_ever(
            work,
            name=name,
            every=self._poll_seconds if every is None else every,
            passes=is_infrastructure_error,
        )

    async def work_one(self) -> bool:
        """Try the head of a due queue, or close the queue; return whether there was a queue."""
        queue: Queue | None = None
        head: ParkedRecord | None = None
        try:
            async with self._database.transaction() as unit:
                queue = await self._parking.take_due(unit)
                if queue is None:
                    return False
                head = await self._parking.head(unit, queue)
                if head is not None:
                    await self._take_effect(unit, head)
        except Exception as error:
            if queue is None or head is None:
                raise
            if is_infrastructure_error(error):
                await self._postpone(queue)
                raise
            await self._failed(queue, head, error)
            return True
        if head is None:
            await self._close(queue)
        else:
            self._metrics.retried.labels(head.topic, "done").inc()
        return True

    async def _take_effect(self, unit: Unit, record: ParkedRecord) -> None:
        """Run a message's handler, and remove the message from its queue."""
        incoming = self._handling.read(record)
        await guarded(self._handling.handle_alone(unit, incoming))
        await self._parking.remove(unit, record.seq)
        outcome = IGNORED if incoming.ignored else DONE
        await self._inbox.settle(unit, record.source, record.id, outcome)
        if not incoming.ignored:
            unit.after_commit(lambda: self._handling.settled([incoming]))

    async def _close(self, queue: Queue) -> None:
        async with self._database.transaction() as unit:
            await self._parking.close(unit, queue)

    async def _postpone(self, queue: Queue) -> None:
        """Let other queues come first, without counting an attempt."""
        async with self._database.transaction() as unit:
            if await self._parking.take(unit, queue.id) is not None:
                await self._parking.reschedule(
                    unit, queue.id, state=RETRYING, delay=self._poll_seconds
                )

    async def _failed(self, queue: Queue, head: ParkedRecord, error: Exception) -> None:
        """Count a failed attempt, in a new transaction, as the first one was rolled back."""
        state, delay = self._fate(queue, head, error)
        async with self._database.transaction() as unit:
            if await self._parking.take(unit, queue.id) is None:
                return
            if not await self._parking.count_attempt(unit, head, error):
                return  # the message was discarded, or another process has tried it
            await self._parking.reschedule(unit, queue.id, state=state, delay=delay)
            if state == DEAD and not queue.blocking:
                await self._inbox.settle(unit, head.source, head.id, SKIPPED)
        self._metrics.retried.labels(head.topic, "failed").inc()
        log.error(
            "parked message failed",
            topic=head.topic,
            partition=head.partition,
            offset=head.offset,
            id=head.id,
            attempts=head.attempts + 1,
            state=state,
            error=describe(error),
        )

    def _fate(self, queue: Queue, head: ParkedRecord, error: Exception) -> tuple[str, float]:
        """Return the new state of a queue whose head failed again, and the seconds to wait."""
        incoming = self._handling.read(head)
        if incoming.unknown and not queue.blocking:
            return UNKNOWN, 0
        failure = incoming.subscription.failure if incoming.subscription else FailurePolicy()
        attempts = head.attempts + 1
        if incoming.unknown or isinstance(error, DEAD_AT_ONCE) or attempts >= failure.attempts:
            return DEAD, 0
        return RETRYING, failure.delay(attempts)

    async def overtake_one(self) -> bool:
        """Run a message that may overtake a dead one of its key; return whether there was one."""
        queue: Queue | None = None
        record: ParkedRecord | None = None
        try:
            async with self._database.transaction() as unit:
                types = self._handling.subscriptions.overtaking
                found = await self._parking.overtaking(unit, types)
                if found is None:
                    return False
                queue = await self._parking.take(unit, found[0])
                if queue is not None and queue.state == DEAD:
                    record = await self._parking.message(unit, queue, found[1])
                if record is not None:
                    await self._take_effect(unit, record)
        except Exception as error:
            if queue is None or record is None or is_infrastructure_error(error):
                raise
            async with self._database.transaction() as unit:
                await self._parking.count_attempt(unit, record, error)
        return True

    async def pull_back(self) -> None:
        """Make queues due that a wrong clock has put off for longer than any policy does."""
        longest = timedelta(seconds=self._handling.subscriptions.longest_delay * _LONGEST_DELAY)
        async with self._database.transaction() as unit:
            number = await self._parking.pull_back(unit, longest)
        if number:
            log.warning("retries pulled back", keys=number)

    async def _measure(self) -> None:
        async with self._database.reading() as unit:
            self._metrics.show(await self._parking.count(unit))
