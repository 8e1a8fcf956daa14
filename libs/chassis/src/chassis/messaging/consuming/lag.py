"""Measures how far a consumer group lags, with a separate client: the consumer may be at fault.

It counts what the consumer would read. The end is the last stable offset, since a reader of
committed messages gets nothing behind an open transaction. The start is the log's start, since
deleted messages are no work. The position is the committed offset.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from chassis.loops import Failures, for_ever, passes_if
from chassis.messaging.clients import METADATA_MS, start, stopping
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 5.0
_MISSED_MEASUREMENTS = 3  # after so many the last measurement no longer counts
_AGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The offsets of a group in one partition.

    Attributes:
        start: the oldest offset that Kafka has.
        end: the offset after the last message that may be read.
        committed: the group's committed offset; None if there is none yet.
        measured_at: the time by the monotonic clock.
    """

    start: int
    end: int
    committed: int | None
    measured_at: float

    @property
    def position(self) -> int:
        """Where a consumer continues: at the start, if Kafka does not have the committed offset."""
        if self.committed is None or not self.start <= self.committed <= self.end:
            return self.start
        return self.committed

    @property
    def lag(self) -> int:
        """The number of offsets that are not consumed yet."""
        return self.end - self.position


class Standings(Protocol):
    """What the watchdog needs to know about the group."""

    @property
    def complete(self) -> bool:
        """Whether the last measurement of every topic is fresh."""

    def standings(self) -> Mapping[TopicPartition, Standing]:
        """Return the fresh measurements."""


class WaitingTime:
    """Computes how long the oldest message of a partition has waited, as far as was observed."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, float]] = deque()

    def seconds(self, standing: Standing) -> float:
        """Add a measurement; return the seconds, or 0 if no message waits.

        The message at the position was there when an end behind it was first observed.
        """
        if self._ends and self._ends[-1][0] > standing.end:
            self._ends.clear()  # the topic was deleted and created again
        while self._ends and self._ends[0][0] <= standing.position:
            self._ends.popleft()
        newest = self._ends[-1][0] if self._ends else standing.position
        if standing.end > newest:
            self._ends.append((standing.end, standing.measured_at))
        if len(self._ends) > _AGES:
            self._ends = deque(list(self._ends)[::2])
        return standing.measured_at - self._ends[0][1] if self._ends else 0.0


class GroupLag:
    """Measures one group's lag for as long as the process lives.

    Args:
        kafka: how to connect to Kafka.
        group: the group, with its prefix.
        topics: the topics, with their prefixes.
        metrics: the metrics of the consumer.
        interval_seconds: the time between two measurements.
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        kafka: KafkaConnection,
        group: str,
        topics: Collection[str],
        metrics: ConsumerMetrics,
        interval_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._topics = topics
        self._metrics = metrics
        self._interval = interval_seconds
        self._clock = clock
        self._holds = _MISSED_MEASUREMENTS * interval_seconds + _ANSWER_SECONDS
        self._measured: dict[str, tuple[float, dict[TopicPartition, Standing]]] = {}
        self._waiting: dict[TopicPartition, WaitingTime] = {}
        self._told: set[str] = set()  # topics whose failure is logged already: log it once
        for topic in topics:
            metrics.lag.expect(topic)

    @property
    def complete(self) -> bool:
        """Whether the last measurement of every topic is fresh."""
        return len(self._fresh()) == len(self._topics)

    def standings(self) -> Mapping[TopicPartition, Standing]:
        """Return the fresh measurements."""
        return {place: one for found in self._fresh() for place, one in found.items()}

    def _fresh(self) -> list[dict[TopicPartition, Standing]]:
        now = self._clock()
        return [found for at, found in self._measured.values() if now - at <= self._holds]

    async def run(self) -> None:
        """Measure until cancelled; wait for a broker that is unavailable."""
        await for_ever(
            self._measure_with_a_client,
            every=self._interval,
            name="lag",
            passes=passes_if(KafkaError, TimeoutError),
            failures=Failures((self._interval,)),
        )

    async def _measure_with_a_client(self) -> None:
        async with self._client() as client:
            await self._measure_while_it_answers(client)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaConsumer]:
        client = AIOKafkaConsumer(
            **self._kafka.options,
            group_id=self._group,
            client_id="lag",
            enable_auto_commit=False,
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MS,
        )
        async with stopping(client):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await start(client)
            yield client

    async def _measure_while_it_answers(self, client: AIOKafkaConsumer) -> None:
        while True:
            outcomes = await asyncio.gather(*(self._measure(client, one) for one in self._topics))
            if not any(outcomes):
                return
            await asyncio.sleep(self._interval)

    async def _measure(self, client: AIOKafkaConsumer, topic: str) -> bool:
        """Measure a topic; return False if that failed, as one topic must not hide the others."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._topic(client, topic)
        except (KafkaError, TimeoutError) as error:
            self._tell(topic, error)
            return False
        self._told.discard(topic)
        self._show(topic, found)
        return True

    def _tell(self, topic: str, error: Exception) -> None:
        if topic not in self._told:
            log.warning("lag not measured", group=self._group, topic=topic, error=repr(error))
        self._told.add(topic)

    async def _topic(self, client: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, Standing]:
        # This request makes the client load the metadata of a topic that it does not know yet.
        await client.beginning_offsets([TopicPartition(topic, 0)])
        partitions = _partitions(topic, client.partitions_for_topic(topic) or ())
        # Committed offsets first, ends last: what is consumed in between must not make lag
        # negative.
        committed = await asyncio.gather(*(client.committed(one) for one in partitions))
        starts = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        now = self._clock()
        return {
            one: Standing(start=starts[one], end=ends[one], committed=offset, measured_at=now)
            for one, offset in zip(partitions, committed, strict=True)
        }

    def _show(self, topic: str, found: dict[TopicPartition, Standing]) -> None:
        self._measured[topic] = self._clock(), found
        seconds = [
            self._waiting.setdefault(place, WaitingTime()).seconds(one)
            for place, one in found.items()
        ]
        self._metrics.lag.show(
            topic,
            values={
                "consumer_lag_messages": sum(one.lag for one in found.values()),
                "consumer_lag_seconds": max(seconds, default=0.0),
            },
            seconds=self._holds,
        )


def _partitions(topic: str, numbers: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in sorted(numbers)]
