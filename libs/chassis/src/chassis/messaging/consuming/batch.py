"""Runs the messages of one partition in transactions: lock, inbox, parked keys, then effects.

A batch that fails is rolled back and run message by message. A message whose handler fails is then
parked. After an infrastructure error everything is rolled back, to be retried later.
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

from chassis.cancellation import guarded
from chassis.database.database import Database
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.limits import BATCH_SECONDS
from chassis.database.unit import Unit
from chassis.error_text import describe
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.inbox import PARKED, Inbox
from chassis.messaging.consuming.incoming import Incoming, UndecodableError
from chassis.messaging.consuming.parking import DEAD, RETRYING, UNKNOWN, Parking, Queue
from chassis.messaging.consuming.subscriptions import FailurePolicy
from chassis.messaging.events import MessageFormatError
from chassis.messaging.metrics import ConsumerMetrics
from chassis.telemetry.tracing import context_from, open_span

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)

_SINGLE_SECONDS = 30.0  # then stop, so that the consumer can poll and stays in the group
_RECENT = 50
_ENOUGH = 20

DEAD_AT_ONCE = (MessageFormatError, UndecodableError)

type Partition = tuple[str, int]


class TooManyFailuresError(Exception):
    """More than half of the recent messages failed, so the handler is probably at fault."""


class Progress(NamedTuple):
    """How many messages are done for good, and the error that stopped the next one."""

    done: int
    error: Exception | None = None


class BatchRunner[R]:
    """Runs batches of one partition through the service's handlers.

    Args:
        service: the consumer's name in inbox and parking.
        database: the service's database.
        handling: the handlers.
        metrics: the metrics of the consumer.
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
        """Run `records`, which are of one partition and in order; return how far they were run.

        It may stop early without an error: if `stopping` returns True, or so that the consumer can
        poll.
        """
        read = [self._handling.read(one) for one in records if one.value is not None]
        messages = [message for message in read if not message.ignored]
        passed_over = {"tombstone": len(records) - len(read), "ignored": len(read) - len(messages)}
        self._count(records[0].topic, passed_over)
        done = 0
        for group in _groups(messages):
            progress = await self._run_group(group, stopping)
            done += progress.done
            if progress.done < len(group):
                # What was passed over in between is read again, which does no harm.
                return Progress(records.index(messages[done].record), progress.error)
        return Progress(len(records))

    async def _run_group(
        self, messages: Sequence[Incoming[R]], stopping: Callable[[], bool]
    ) -> Progress:
        if len(messages) > 1:
            limit = asyncio.timeout(_time_limit(messages))
            try:
                async with limit:
                    await guarded(self._together(messages))
                return Progress(len(messages))
            except Exception as error:  # noqa: BLE001 - a handler may raise any error
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
            except Exception as error:  # noqa: BLE001 - an infrastructure error, or a bug here
                return self._interrupted(done, messages, error)
        return Progress(len(messages))

    def _interrupted(
        self, done: int, messages: Sequence[Incoming[R]], error: Exception
    ) -> Progress:
        self._count(messages[0].record.topic, {"interrupted": len(messages) - done})
        return Progress(done, error)

    async def _alone(self, message: Incoming[R]) -> None:
        """Run one message, or park it; raise an infrastructure error, or TooManyFailuresError."""
        try:
            await guarded(self._together([message]))
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
                f"{failures} of the last {len(recent)} messages failed, so the partition stopped. "
                "Fix the handler, then restart the worker, which retries them."
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
            async with self._database.transaction() as unit:
                fresh = await self._begin(unit, messages)
                outcomes = Counter(duplicate=len(messages) - len(fresh))
                queues = await self._queues(unit, fresh)
                handle = self._handling.handle if len(messages) > 1 else self._handling.handle_alone
                handled = []
                for message in fresh:
                    outcome = await self._take(unit, message, queues, handle)
                    outcomes[outcome] += 1
                    if outcome == "done":
                        handled.append(message)
                if len(messages) > 1:
                    await self._handling.finish(unit)
            self._handling.settled(handled)
        self._recent_of(messages[0]).extend([True] * outcomes["done"])
        self._count(record.topic, outcomes)
        self._metrics.batch_seconds.labels(record.topic).observe(time.perf_counter() - started)

    async def _begin(self, unit: Unit, messages: Sequence[Incoming[R]]) -> list[Incoming[R]]:
        record = messages[0].record
        # A paused owner that lost the partition can't run beside the new one: both take the lock.
        name = f"consume:{self._service}:{record.topic}:{record.partition}"
        await unit.lock(name)
        return await self._inbox.receive(unit, messages)

    async def _queues(self, unit: Unit, fresh: Sequence[Incoming[R]]) -> dict[str | None, Queue]:
        if not fresh:
            return {}
        keys = {message.key for message in fresh}
        return await self._parking.find(unit, fresh[0].record.topic, keys)

    async def _take(
        self,
        unit: Unit,
        message: Incoming[R],
        queues: dict[str | None, Queue],
        handle: Callable[[Unit, Incoming[R]], Awaitable[None]],
    ) -> str:
        """Run the handler of one message, or queue the message; return the outcome."""
        if message.unknown:
            own = await self._parking.open(unit, message, state=UNKNOWN, blocking=False)
            await self._queue(unit, own, message, error=message.error)
            return "unknown"
        queue = queues.get(message.key)
        if queue is not None and not self._overtakes(message, queue):
            await self._queue(unit, queue, message)
            return "parked"
        await handle(unit, message)
        return "done"

    def _overtakes(self, message: Incoming[R], queue: Queue) -> bool:
        subscription = message.subscription
        return subscription is not None and subscription.overtakes and queue.state == DEAD

    async def _queue(
        self,
        unit: Unit,
        queue: Queue,
        message: Incoming[R],
        *,
        error: Exception | None = None,
    ) -> None:
        await self._parking.append(unit, queue, message, error=error)
        await self._inbox.settle(unit, message.source, message.id, PARKED)

    async def _park(self, message: Incoming[R], error: Exception) -> None:
        """Park a message that failed when it ran alone."""
        failure = message.subscription.failure if message.subscription else FailurePolicy()
        dead = isinstance(error, DEAD_AT_ONCE) or failure.attempts <= 1
        async with self._database.transaction() as unit:
            if not await self._begin(unit, [message]):
                return  # the partition's new owner has received it
            queue = await self._parking.open(
                unit,
                message,
                state=DEAD if dead else RETRYING,
                blocking=not failure.skip,
                delay=failure.delay(1),
            )
            await self._queue(unit, queue, message, error=error)
        self._recent_of(message).append(False)
        self._count(message.record.topic, {"parked": 1})
        log.error(
            "message parked",
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
    """Return the longest time limit of the handlers, at most that of a batch."""
    limits = [m.subscription.time_limit for m in messages if m.subscription is not None]
    return min(BATCH_SECONDS, max(limits, default=BATCH_SECONDS))


def _groups[R](messages: Sequence[Incoming[R]]) -> Iterator[Sequence[Incoming[R]]]:
    """Split a batch at each message whose handler needs a separate transaction."""
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
    """Open the batch's span: a root that links to each message's trace."""
    topic = messages[0].record.topic
    with open_span(
        tracer,
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
