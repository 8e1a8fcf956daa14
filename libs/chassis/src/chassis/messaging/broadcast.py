"""A topic that each process reads whole, without a group: what it tells concerns all of them.

It begins in the past, as far back as what is told may still matter, and is caught up when it has
read what was there. Where Kafka is away it goes on later from where it was.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from chassis.health import Health
from chassis.messaging.clients import start, stop_consumer
from chassis.messaging.connection import KafkaConnection

log = structlog.get_logger(__name__)

_POLL_MS = 1000
_RETRY_SECONDS = 0.25
_LONGEST_RETRY_SECONDS = 2.0
_CHECK_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_START_SECONDS = 10.0
_SILENT_SECONDS = 10.0
_HURRY_SECONDS = 0.1  # while it catches up


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A topic, and what to do with each message of it.

    Attributes:
        topic: without a prefix.
        take: is given the value of each message, at least once, in the order of its partition;
            ValueError says that it can't be read.
        history: how far back to begin.
    """

    topic: str
    take: Callable[[bytes], None]
    history: timedelta


class FeedMetrics:
    """What a reader tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "feed_messages_total",
            "Messages that were read whole by this process, by outcome: taken, unreadable (alert).",
            ["topic", "outcome"],
            registry=registry,
        )
        self.stale = Gauge(
            "feed_stale",
            "1 while this process does not know the newest of the topic (alert).",
            ["topic"],
            registry=registry,
        )


class _SilentError(Exception):
    """The client reads nothing, though there is something to read and Kafka answers."""


class FeedReader:
    """Reads one feed for as long as the process lives.

    Args:
        feed: what is read.
        kafka: where Kafka is.
        metrics: where it tells what it does.
        health: the process is ready once the feed is caught up, or has been tried for long enough.
        start_seconds: how long that is.
        check_seconds: between two looks whether it still is.
        answer_seconds: in which Kafka must answer.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        kafka: KafkaConnection,
        metrics: FeedMetrics,
        health: Health,
        start_seconds: float = _START_SECONDS,
        check_seconds: float = _CHECK_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self._feed = feed
        self._kafka = kafka
        self._health = health
        self._start_seconds = start_seconds
        self._check_seconds = check_seconds
        self._answer_seconds = answer_seconds
        self._part = f"feed {feed.topic}"
        self._taken = metrics.messages.labels(feed.topic, "taken")
        self._unreadable = metrics.messages.labels(feed.topic, "unreadable")
        self._stale = metrics.stale.labels(feed.topic)
        self._stale.set(1)
        self._positions: dict[TopicPartition, int] = {}
        self._known = True  # what is lost is told once
        self.caught_up = asyncio.Event()
        health.expect(self._part)

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ready_at_last())
            group.create_task(self._read_for_ever())

    async def _ready_at_last(self) -> None:
        try:
            async with asyncio.timeout(self._start_seconds):
                await self.caught_up.wait()
        except TimeoutError:
            # A process that serves without the newest is worth more than one that waits.
            log.warning("ready without the feed: it is not caught up", topic=self._feed.topic)
            self._health.loaded(self._part)

    async def _read_for_ever(self) -> None:
        wait = _RETRY_SECONDS
        while True:
            try:
                async with self._connected() as consumer, asyncio.TaskGroup() as group:
                    group.create_task(self._read(consumer))
                    group.create_task(self._check(consumer))
            except* (KafkaError, OSError, _SilentError) as errors:  # a time-out is an OSError, too
                self._stale.set(1)
                if self._known:
                    wait = _RETRY_SECONDS
                    reasons = [repr(error) for error in errors.exceptions]
                    log.warning("the feed is stale", topic=self._feed.topic, errors=reasons)
                self._known = False
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            self._kafka.topic_prefix + self._feed.topic,
            **self._kafka.options,
            group_id=None,
            client_id="feed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            async with asyncio.timeout(self._answer_seconds):
                await start(consumer)
                self._positions = await self._beginnings(consumer)
            for partition, offset in self._positions.items():
                consumer.seek(partition, offset)
            yield consumer
        finally:
            await stop_consumer(consumer)

    async def _beginnings(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Find where to begin: where it was, or in the past."""
        partitions = list(consumer.assignment())
        # The ends come first: what is sent between the two questions is after them.
        ends = await consumer.end_offsets(partitions)
        past = round((time.time() - self._feed.history.total_seconds()) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, past))
        begin = {
            partition: ends[partition] if found[partition] is None else found[partition].offset
            for partition in partitions
        }
        # One that lies beyond the end is of a topic that was made anew.
        known = {p: o for p, o in self._positions.items() if p in ends and o <= ends[p]}
        return {**begin, **known}

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=_POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    self._take(record)
                self._positions[partition] = records[-1].offset + 1

    def _take(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        try:
            self._feed.take(record.value)
        except ValueError as error:
            self._unreadable.inc()
            log.error(  # noqa: TRY400 - the cause may quote the data
                "a message of the feed can't be read",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=type(error).__name__,
            )
        else:
            self._taken.inc()

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Say whether the newest is known; a client can fall silent without knowing it."""
        before: Mapping[TopicPartition, int] = {}
        moved = time.monotonic()
        while True:
            async with asyncio.timeout(self._answer_seconds):
                ends = await consumer.end_offsets(list(self._positions))
            now = dict(self._positions)
            fresh = all(now[partition] >= end for partition, end in ends.items())
            if fresh:
                self._stale.set(0)
                self._known = True
                self._health.loaded(self._part)
                self.caught_up.set()
            if fresh or now != before:
                before, moved = now, time.monotonic()
            elif time.monotonic() - moved > _SILENT_SECONDS:
                message = f"nothing has come for {_SILENT_SECONDS:g} s, and {ends} are the ends"
                raise _SilentError(message)
            await asyncio.sleep(self._check_seconds if fresh else _HURRY_SECONDS)
