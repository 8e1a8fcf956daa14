"""Tries parked messages again, each queue in its order, until they take effect or are dead."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.engine import Database
from chassis.database.errors import is_infrastructure_error
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
    describe,
)
from chassis.messaging.consuming.subscriptions import FailurePolicy
from chassis.messaging.metrics import ParkingMetrics

log = structlog.get_logger(__name__)

_WORKERS = 4
_GAUGE_SECONDS = 5.0


class Retries[R]:
    """The retry loop of one service; any number of processes may run it.

    Args:
        service: the consumer's name in inbox and parking.
        database: of the service.
        handling: the handlers.
        metrics: where it tells what it does.
        poll_seconds: how often it looks for a queue that is due.
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
        """Retry until cancelled; a database that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            # Several, so that a slow handler of one key doesn't hold up the others.
            for _ in range(_WORKERS):
                group.create_task(self._repeat(self.work_one))
            if self._handling.subscriptions.overtaking:
                group.create_task(self._repeat(self.overtake_one))
            group.create_task(self._measure())

    async def _repeat(self, work: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                worked = await work()
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("retries pause", error=describe(error))
                worked = False
            if not worked:
                await asyncio.sleep(self._poll_seconds)

    async def work_one(self) -> bool:
        """Try the head of a queue that is due, or close the queue; says whether there was one."""
        queue: Queue | None = None
        head: ParkedRecord | None = None
        try:
            async with self._database.transaction() as session:
                queue = await self._parking.take_due(session)
                if queue is None:
                    return False
                head = await self._parking.head(session, queue)
                if head is not None:
                    await self._take_effect(session, head)
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

    async def _take_effect(self, session: AsyncSession, record: ParkedRecord) -> None:
        """Run a message, and take it out of its queue."""
        incoming = self._handling.read(record)
        await self._handling.handle_alone(session, incoming)
        await self._parking.remove(session, record.seq)
        outcome = IGNORED if incoming.ignored else DONE
        await self._inbox.settle(session, record.source, record.id, outcome)

    async def _close(self, queue: Queue) -> None:
        async with self._database.transaction() as session:
            await self._parking.close(session, queue)

    async def _postpone(self, queue: Queue) -> None:
        """Let other queues come first, without counting an attempt."""
        async with self._database.transaction() as session:
            if await self._parking.take(session, queue.id) is not None:
                await self._parking.reschedule(
                    session, queue.id, state=RETRYING, delay=self._poll_seconds
                )

    async def _failed(self, queue: Queue, head: ParkedRecord, error: Exception) -> None:
        """Count the attempt; the transaction that held the queue was rolled back with it."""
        state, delay = self._fate(queue, head, error)
        async with self._database.transaction() as session:
            if await self._parking.take(session, queue.id) is None:
                return
            if not await self._parking.count_attempt(session, head, error):
                return  # somebody discarded it, or tried it as well
            await self._parking.reschedule(session, queue.id, state=state, delay=delay)
            if state == DEAD and not queue.blocking:
                await self._inbox.settle(session, head.source, head.id, SKIPPED)
        self._metrics.retried.labels(head.topic, "failed").inc()
        log.error(
            "a parked message failed again",
            topic=head.topic,
            partition=head.partition,
            offset=head.offset,
            id=head.id,
            attempts=head.attempts + 1,
            state=state,
            error=describe(error),
        )

    def _fate(self, queue: Queue, head: ParkedRecord, error: Exception) -> tuple[str, float]:
        """Decide on a queue whose head failed again: its state, and seconds to wait."""
        incoming = self._handling.read(head)
        if incoming.unknown and not queue.blocking:
            return UNKNOWN, 0
        failure = incoming.subscription.failure if incoming.subscription else FailurePolicy()
        attempts = head.attempts + 1
        if incoming.unknown or isinstance(error, DEAD_AT_ONCE) or attempts >= failure.attempts:
            return DEAD, 0
        return RETRYING, failure.delay(attempts)

    async def overtake_one(self) -> bool:
        """Run a message that may overtake a dead one of its key; says whether there was one."""
        queue: Queue | None = None
        record: ParkedRecord | None = None
        try:
            async with self._database.transaction() as session:
                types = self._handling.subscriptions.overtaking
                found = await self._parking.overtaking(session, types)
                if found is None:
                    return False
                queue = await self._parking.take(session, found[0])
                if queue is not None and queue.state == DEAD:
                    record = await self._parking.message(session, queue, found[1])
                if record is not None:
                    await self._take_effect(session, record)
        except Exception as error:
            if queue is None or record is None or is_infrastructure_error(error):
                raise
            async with self._database.transaction() as session:
                await self._parking.count_attempt(session, record, error)
        return True

    async def _measure(self) -> None:
        while True:
            try:
                async with self._database.reading() as session:
                    self._metrics.show(await self._parking.count(session))
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
            await asyncio.sleep(_GAUGE_SECONDS)
