"""Runs the messages of one partition in transactions: lock, inbox, parked keys, then effects.

A batch that fails is rolled back and run message by message. There a message whose handler refuses
it is parked; an error of the infrastructure leaves everything as it was, for later.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from aiokafka import ConsumerRecord
from opentelemetry import trace
from opentelemetry.context import Context
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.engine import Database
from chassis.database.errors import is_infrastructure_error
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.inbox import PARKED, Inbox
from chassis.messaging.consuming.incoming import Incoming, UndecodableError
from chassis.messaging.consuming.parking import DEAD, RETRYING, UNKNOWN, Parking, Queue, describe
from chassis.messaging.consuming.subscriptions import FailurePolicy
from chassis.messaging.events import MessageFormatError
from chassis.messaging.metrics import ConsumerMetrics
from chassis.telemetry.tracing import context_from

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)

# An owner that was paused and lost the partition can't overtake the new one: both take this lock.
# It is a transaction's first statement, and so SQLAlchemy's.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_BATCH_SECONDS = 15.0  # half of the roles' transaction_timeout
_SINGLE_SECONDS = 30.0  # then the group must hear of the consumer again
_RECENT = 50
_ENOUGH = 20

DEAD_AT_ONCE = (MessageFormatError, UndecodableError)

type Partition = tuple[str, int]


class TooManyFailuresError(Exception):
    """More than half of the recent messages failed: not they are at fault, it seems."""


class Progress(NamedTuple):
    """How far a run came: messages that are done for good, and what stopped the next one."""

    done: int
    error: Exception | None = None


class BatchRunner[R]:
    """Takes batches of one partition through the service's handlers.

    Args:
        service: the consumer's name in inbox and parking.
        database: of the service.
        handling: the handlers.
        metrics: where it tells what it does.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        handling: Handling[R],
        metrics: ConsumerMetrics,
    ) -> None:
        self._service = service
        self._database = database
        self._handling = handling
        self._metrics = metrics
        self._inbox = Inbox(consumer=service)
        self._parking = Parking(consumer=service)
        self._recent: dict[Partition, deque[bool]] = {}

    @property
    def topics(self) -> Sequence[str]:
        """The topics of the subscriptions, without a prefix."""
        return self._handling.subscriptions.topics

    async def run(
        self, records: Sequence[ConsumerRecord], *, stopping: Callable[[], bool] = lambda: False
    ) -> Progress:
        """Run `records`, which are of one partition and in order.

        It may stop early without an error: when `stopping` says so, or to give the consumer a
        chance to poll.
        """
        messages = [self._handling.read(one) for one in records if one.value is not None]
        tombstones = len(records) - len(messages)
        self._count(records[0].topic, {"tombstone": tombstones})
        if not messages:
            return Progress(len(records))
        done = 0
        for group in _groups(messages):
            progress = await self._run_group(group, stopping)
            done += progress.done
            if progress.done < len(group):
                # Tombstones between are met again, and that does no harm.
                return Progress(records.index(messages[done].record), progress.error)
        return Progress(len(records))

    async def _run_group(
        self, messages: Sequence[Incoming[R]], stopping: Callable[[], bool]
    ) -> Progress:
        if len(messages) > 1:
            limit = asyncio.timeout(_time_limit(messages))
            try:
                async with limit:
                    await self._together(messages)
                return Progress(len(messages))
            except Exception as error:  # noqa: BLE001 - any error of a handler must be met
                if is_infrastructure_error(error) and not limit.expired():
                    return self._interrupted(0, messages, error)
        return await self._one_by_one(messages, stopping)

    async def _one_by_one(
        self, messages: Sequence[Incoming[R]], stopping: Callable[[], bool]
    ) -> Progress:
        end = time.monotonic() + _SINGLE_SECONDS
        for done, message in enumerate(messages):
            if done and (stopping() or time.monotonic() > end):
                return Progress(done)
            try:
                await self._alone(message)
            except TooManyFailuresError as error:
                return Progress(done, error)
            except Exception as error:  # noqa: BLE001 - of the infrastructure, or of our own
                return self._interrupted(done, messages, error)
        return Progress(len(messages))

    def _interrupted(
        self, done: int, messages: Sequence[Incoming[R]], error: Exception
    ) -> Progress:
        self._count(messages[0].record.topic, {"interrupted": len(messages) - done})
        return Progress(done, error)

    async def _alone(self, message: Incoming[R]) -> None:
        """Run one message, or park it; raises what neither helps against."""
        try:
            await self._together([message])
        except Exception as error:
            if is_infrastructure_error(error):
                raise
            self._refuse_too_many(message, error)
            await self._park(message, error)

    def _refuse_too_many(self, message: Incoming[R], error: Exception) -> None:
        recent = self._recent_of(message)
        failures = recent.count(False)
        if len(recent) >= _ENOUGH and failures * 2 > len(recent):
            reason = (
                f"{failures} of the last {len(recent)} messages failed: the partition stops. "
                "Mend the handler and restart the worker, which tries them anew"
            )
            raise TooManyFailuresError(reason) from error

    def _recent_of(self, message: Incoming[R]) -> deque[bool]:
        place = (message.record.topic, message.record.partition)
        return self._recent.setdefault(place, deque(maxlen=_RECENT))

    async def _together(self, messages: Sequence[Incoming[R]]) -> None:
        """Run messages in one transaction."""
        started = time.perf_counter()
        record = messages[0].record
        with _batch_span(messages):
            async with self._database.transaction() as session:
                fresh = await self._begin(session, messages)
                outcomes = Counter(duplicate=len(messages) - len(fresh))
                queues = await self._queues(session, fresh)
                handle = self._handling.handle if len(messages) > 1 else self._handling.handle_alone
                for message in fresh:
                    outcomes[await self._take(session, message, queues, handle)] += 1
        self._recent_of(messages[0]).extend([True] * outcomes["done"])
        self._count(record.topic, outcomes)
        self._metrics.batch_seconds.labels(record.topic).observe(time.perf_counter() - started)

    async def _begin(
        self, session: AsyncSession, messages: Sequence[Incoming[R]]
    ) -> list[Incoming[R]]:
        record = messages[0].record
        name = f"consume:{self._service}:{record.topic}:{record.partition}"
        await session.execute(_LOCK, {"name": name})
        return await self._inbox.receive(session, messages)

    async def _queues(
        self, session: AsyncSession, fresh: Sequence[Incoming[R]]
    ) -> dict[str | None, Queue]:
        if not fresh:
            return {}
        keys = {message.key for message in fresh}
        return await self._parking.find(session, fresh[0].record.topic, keys)

    async def _take(
        self,
        session: AsyncSession,
        message: Incoming[R],
        queues: dict[str | None, Queue],
        handle: Callable[[AsyncSession, Incoming[R]], Awaitable[None]],
    ) -> str:
        """Let one message take effect, or queue it; answers the outcome."""
        if message.ignored:
            return "ignored"
        if message.unknown:
            own = await self._parking.open(session, message, state=UNKNOWN, blocking=False)
            await self._queue(session, own, message, error=message.error)
            return "unknown"
        queue = queues.get(message.key)
        if queue is not None and not self._overtakes(message, queue):
            await self._queue(session, queue, message)
            return "parked"
        await handle(session, message)
        return "done"

    def _overtakes(self, message: Incoming[R], queue: Queue) -> bool:
        subscription = message.subscription
        return subscription is not None and subscription.overtakes and queue.state == DEAD

    async def _queue(
        self,
        session: AsyncSession,
        queue: Queue,
        message: Incoming[R],
        *,
        error: Exception | None = None,
    ) -> None:
        await self._parking.append(session, queue, message, error=error)
        await self._inbox.settle(session, message.source, message.id, PARKED)

    async def _park(self, message: Incoming[R], error: Exception) -> None:
        """Park a message that failed on its own."""
        failure = message.subscription.failure if message.subscription else FailurePolicy()
        dead = isinstance(error, DEAD_AT_ONCE) or failure.attempts <= 1
        async with self._database.transaction() as session:
            if not await self._begin(session, [message]):
                return  # another owner of the partition was quicker
            queue = await self._parking.open(
                session,
                message,
                state=DEAD if dead else RETRYING,
                blocking=not failure.skip,
                delay=failure.delay(1),
            )
            await self._queue(session, queue, message, error=error)
        self._recent_of(message).append(False)
        self._count(message.record.topic, {"parked": 1})
        log.error(
            "a message failed and is parked",
            topic=message.record.topic,
            partition=message.record.partition,
            offset=message.record.offset,
            type=message.type,
            id=message.id,
            dead=dead,
            error=describe(error),
        )

    def _count(self, topic: str, outcomes: dict[str, int]) -> None:
        for outcome, number in outcomes.items():
            if number:
                self._metrics.consumed.labels(topic, outcome).inc(number)


def _time_limit[R](messages: Sequence[Incoming[R]]) -> float:
    """A batch may take as long as the slowest of its handlers may for one message."""
    limits = [m.subscription.time_limit for m in messages if m.subscription is not None]
    return min(_BATCH_SECONDS, max(limits, default=_BATCH_SECONDS))


def _groups[R](messages: Sequence[Incoming[R]]) -> Iterator[Sequence[Incoming[R]]]:
    """Cut a batch where a handler wants a transaction for its message alone."""
    start = 0
    for place, message in enumerate(messages):
        if message.subscription is not None and not message.subscription.batched:
            if start < place:
                yield messages[start:place]
            yield messages[place : place + 1]
            start = place + 1
    if start < len(messages):
        yield messages[start:]


@contextmanager
def _batch_span[R](messages: Sequence[Incoming[R]]) -> Iterator[None]:
    """A span of no message's trace; it links to each, as they have traces of their own."""
    topic = messages[0].record.topic
    with tracer.start_as_current_span(
        f"process_batch {topic}",
        context=Context(),
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "process_batch",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(messages[0].record.partition),
            "messaging.batch.message_count": len(messages),
        },
    ) as span:
        if span.is_recording():
            for message in messages:
                headers = {} if message.message is None else message.message.headers
                span.add_link(trace.get_current_span(context_from(headers)).get_span_context())
        yield
