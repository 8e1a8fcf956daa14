"""Reads a broadcast: a topic that each process reads whole, without a consumer group.

Reading begins in the past, as far back as a message may still matter. The reader is caught up when
it has read all that was there. After Kafka was unavailable it continues from its last position. A
message that can't be decoded is skipped after some attempts, so that later ones are not missed.
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

from chassis.cancellation import GuardedTaskGroup
from chassis.health import Health
from chassis.loops import Failures, for_ever, passes_if
from chassis.messaging.clients import METADATA_MS, start, stopping
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.fetching import PartitionError, PartitionFetcher, UndecodableBatchError

log = structlog.get_logger(__name__)

_POLL_MS = 1000
_BACKOFF = (0.25, 0.5, 1.0, 2.0)  # short: until we read again, ended sessions are accepted
_CHECK_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_START_SECONDS = 10.0
_SILENT_SECONDS = 10.0
_HURRY_SECONDS = 0.1  # between two checks while the reader catches up
_MISSED_CHECKS = 3  # after so many the last check no longer counts
_MOST = 500
_TRIES = (0.1, 0.5, 1.0)  # a batch that was corrupted in transit is intact when fetched again


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """A broadcast topic, and the function that takes each of its messages.

    Attributes:
        topic: the topic's name, without a prefix.
        take: called with the value of each message, at least once, in the order of its partition;
            raises ValueError for a value that can't be read.
        history: how far back to begin.
    """

    topic: str
    take: Callable[[bytes], None]
    history: timedelta


class BroadcastMetrics:
    """The metrics of all BroadcastReaders of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "broadcast_messages_total",
            "Messages that were read whole by this process, by outcome: taken, unreadable (alert), "
            "undecodable (alert): passed over, as Kafka's batch can't be decoded.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.stale = Gauge(
            "broadcast_stale",
            "1 unless this process has just seen that it knows all of the topic (alert).",
            ["topic"],
            registry=registry,
        )


class _SilentError(Exception):
    """The client reads nothing, although there are messages and Kafka responds."""


class _ReassignedError(Exception):
    """The partitions of the topic are not those that are being read."""


# OSError includes TimeoutError.
_PASSING = (KafkaError, OSError, PartitionError, _SilentError, _ReassignedError)


class BroadcastReader:
    """Reads one broadcast for as long as the process lives.

    Args:
        broadcast: the topic and what takes its messages.
        kafka: how to connect to Kafka.
        metrics: counts messages and shows staleness.
        health: becomes ready once the reader is caught up, or after `start_seconds`.
        start_seconds: how long the process waits for the reader before it is ready anyway.
        check_seconds: the time between two checks of whether the reader is still caught up.
        answer_seconds: the time-out of a request to Kafka.
    """

    def __init__(
        self,
        *,
        broadcast: Broadcast,
        kafka: KafkaConnection,
        metrics: BroadcastMetrics,
        health: Health,
        start_seconds: float = _START_SECONDS,
        check_seconds: float = _CHECK_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self._broadcast = broadcast
        self._kafka = kafka
        self._health = health
        self._start_seconds = start_seconds
        self._check_seconds = check_seconds
        self._answer_seconds = answer_seconds
        self._part = f"broadcast {broadcast.topic}"
        self._taken = metrics.messages.labels(broadcast.topic, "taken")
        self._unreadable = metrics.messages.labels(broadcast.topic, "unreadable")
        self._undecodable = metrics.messages.labels(broadcast.topic, "undecodable")
        self._fresh_until = 0.0
        self._blind_until = 0.0
        metrics.stale.labels(broadcast.topic).set_function(self._staleness)
        self._positions: dict[TopicPartition, int] = {}
        self._failures = Failures(_BACKOFF)
        self.caught_up = asyncio.Event()
        health.expect(self._part)

    async def run(self) -> None:
        """Read until cancelled; retry while Kafka is unavailable."""
        async with GuardedTaskGroup() as group:
            group.create_task(self._ready_at_last())
            group.create_task(
                for_ever(
                    self._read_while_connected,
                    every=0,
                    name=f"broadcast {self._broadcast.topic}",
                    passes=passes_if(*_PASSING),
                    failures=self._failures,
                )
            )

    def _staleness(self) -> float:
        """Return 1 if stale; computed at each scrape, as a check that hangs can't set a gauge."""
        now = time.monotonic()
        return 0 if self._blind_until <= now < self._fresh_until else 1

    async def _ready_at_last(self) -> None:
        try:
            async with asyncio.timeout(self._start_seconds):
                await self.caught_up.wait()
        except TimeoutError:
            # Serving with data that may be stale is better than a process that never becomes ready.
            log.warning("ready before broadcast caught up", topic=self._broadcast.topic)
            self._health.loaded(self._part)

    async def _read_while_connected(self) -> None:
        try:
            async with self._connected() as consumer, GuardedTaskGroup() as group:
                for partition in self._positions:
                    group.create_task(self._read(consumer, partition))
                group.create_task(self._check(consumer))
        finally:
            self._fresh_until = 0.0

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            self._kafka.topic_prefix + self._broadcast.topic,
            **self._kafka.options,
            group_id=None,
            client_id="broadcast",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MS,
        )
        async with stopping(consumer):
            async with asyncio.timeout(self._answer_seconds):
                await start(consumer)
                self._positions = await self._beginnings(consumer)
            for partition, offset in self._positions.items():
                consumer.seek(partition, offset)
            yield consumer

    async def _beginnings(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Return the offsets to begin at: the last positions, or else those of `history` ago.

        A last position may be deleted by now. Kafka then moves the client to the oldest offset.
        """
        partitions = list(consumer.assignment())
        # Ask for the ends first: a message that is sent between the two requests is then read.
        ends = await consumer.end_offsets(partitions)
        past = round((time.time() - self._broadcast.history.total_seconds()) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, past))
        begin = {
            partition: ends[partition] if found[partition] is None else found[partition].offset
            for partition in partitions
        }
        # A position beyond the end belongs to a topic that was deleted and created again, or to a
        # broker that has just started: for a moment, Kafka 4.1 shows an end before messages that
        # it has. In both cases the history is read, again if need be.
        known = {p: o for p, o in self._positions.items() if p in ends and o <= ends[p]}
        return {**begin, **known}

    async def _read(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        fetcher = PartitionFetcher(consumer=consumer, partition=partition)
        failures = 0
        while True:
            try:
                records = await fetcher.poll(most=_MOST, timeout_ms=_POLL_MS)
            except UndecodableBatchError as error:
                failures += 1
                await self._meet(error, consumer, partition, failures)
                continue
            for record in records:
                self._take(record)
            if records:
                failures = 0

    async def _meet(
        self,
        error: UndecodableBatchError,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        failures: int,
    ) -> None:
        """Wait before another attempt, or skip one offset: a batch's size is not known."""
        self._fresh_until = 0.0
        offset = await consumer.position(partition)
        place = {"topic": partition.topic, "partition": partition.partition, "offset": offset}
        if failures <= len(_TRIES):
            log.error("broadcast undecodable", **place, attempts=failures, error=str(error))
            await asyncio.sleep(_TRIES[failures - 1])
            return
        log.error("broadcast message skipped", **place)
        self._undecodable.inc()
        # What was skipped may matter for as long as the history.
        self._blind_until = time.monotonic() + self._broadcast.history.total_seconds()
        consumer.seek(partition, offset + 1)

    def _take(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        try:
            self._broadcast.take(record.value)
        except ValueError as error:
            self._unreadable.inc()
            log.error(  # noqa: TRY400 - the cause may quote the data
                "broadcast message unreadable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=type(error).__name__,
            )
        else:
            self._taken.inc()

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Check until cancelled whether all was read.

        Raises:
            _SilentError: the client reads nothing any more; aiokafka itself does not notice.
        """
        before: Mapping[TopicPartition, int] = {}
        moved = time.monotonic()
        while True:
            async with asyncio.timeout(self._answer_seconds):
                ends = await consumer.end_offsets(list(self._positions))
                now = await self._take_positions(consumer)
            fresh = all(now[partition] >= end for partition, end in ends.items())
            pause = self._check_seconds if fresh else _HURRY_SECONDS
            if fresh:
                checked = time.monotonic()
                self._fresh_until = checked + _MISSED_CHECKS * pause + self._answer_seconds
                self._failures.clear()
                self._health.loaded(self._part)
                self.caught_up.set()
            if fresh or now != before:
                before, moved = now, time.monotonic()
            elif time.monotonic() - moved > _SILENT_SECONDS:
                message = (
                    f"The client read no message for {_SILENT_SECONDS:g} s, although the ends are "
                    f"{ends}."
                )
                raise _SilentError(message)
            await asyncio.sleep(pause)

    async def _take_positions(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int]:
        """Store and return the client's positions.

        Only the client knows which offsets hold no message, and which were deleted.
        """
        if consumer.assignment() != self._positions.keys():
            message = f"The partitions of the topic {self._broadcast.topic} have changed."
            raise _ReassignedError(message)
        self._positions = {one: await consumer.position(one) for one in self._positions}
        return self._positions
