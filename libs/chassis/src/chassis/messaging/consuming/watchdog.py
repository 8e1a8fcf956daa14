"""Looks whether the consumer gets on: a client of Kafka can fall silent and not know it.

A client of its own reads where the topics end. Only while that answers, PostgreSQL answers and no
message is in hand does lag without progress count. Then the consumer is built anew; if that doesn't
help either, the process fails its liveness.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy import text

from chassis.database.engine import Database
from chassis.database.errors import is_infrastructure_error
from chassis.health import Health
from chassis.messaging.clients import start, stop_consumer
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 5.0
_REBUILDS = 1


class StalledError(Exception):
    """The consumer lags and makes no progress, though all that it needs answers."""


@dataclass(slots=True)
class _Mark:
    """Where a partition stood when it last moved."""

    consumer: PartitionConsumer[Any]
    position: int | None
    since: float


class Watchdog:
    """Watches one service's consumer.

    Args:
        kafka: where Kafka is.
        database: of the service.
        metrics: told of the lag.
        health: fails where a rebuilt consumer makes no progress either.
        interval_seconds: between two looks.
        patience_seconds: how long lag without progress is borne.
    """

    def __init__(
        self,
        *,
        kafka: KafkaConnection,
        database: Database,
        metrics: ConsumerMetrics,
        health: Health,
        interval_seconds: float = 5.0,
        patience_seconds: float = 30.0,
    ) -> None:
        self._kafka = kafka
        self._database = database
        self._metrics = metrics
        self._health = health
        self._interval = interval_seconds
        self._patience = patience_seconds
        self._marks: dict[TopicPartition, _Mark] = {}
        self._rebuilds = 0
        self._topics: set[str] = set()

    async def run(self, assignment: Assignment) -> None:
        """Watch one consumer until cancelled; StalledError says that it must be built anew."""
        self._marks.clear()
        began = time.monotonic()
        while True:
            # Kafka away is no fault of the consumer's.
            with suppress(KafkaError, TimeoutError):
                async with self._client() as client:
                    while True:
                        await self._look(client, assignment, began)
                        await asyncio.sleep(self._interval)
            self._marks.clear()
            await asyncio.sleep(self._interval)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaConsumer]:
        client = AIOKafkaConsumer(
            **self._kafka.options, client_id="watchdog", enable_auto_commit=False
        )
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await start(client)
            yield client
        finally:
            await stop_consumer(client)

    async def _look(self, client: AIOKafkaConsumer, assignment: Assignment, began: float) -> None:
        partitions = assignment.partitions
        async with asyncio.timeout(_ANSWER_SECONDS):
            ends = await client.end_offsets(list(partitions)) if partitions else {}
            if not partitions:
                await client.topics()
        self._show_lag(partitions, ends)
        stalled = [
            f"{partition.topic}/{partition.partition} at {one.position} of {ends.get(partition)}"
            for partition, one in partitions.items()
            if self._stands_still(partition, one, ends.get(partition, 0))
        ]
        if not assignment.known and time.monotonic() - began > 2 * self._patience:
            stalled.append("the group gave no partitions")
        if stalled and await self._database_answers():
            self._give_up(stalled)

    def _stands_still(
        self, partition: TopicPartition, one: PartitionConsumer[Any], end: int
    ) -> bool:
        now = time.monotonic()
        mark = self._marks.get(partition)
        behind = one.position is None or one.position < end
        if mark is None or mark.consumer is not one or one.working or not behind:
            self._marks[partition] = _Mark(one, one.position, now)
            return False
        if mark.position != one.position:
            self._rebuilds = 0
            self._marks[partition] = _Mark(one, one.position, now)
            return False
        return now - mark.since >= self._patience

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._database.reading() as session:
                await session.execute(text("SELECT 1"))
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            self._marks.clear()
            return False
        return True

    def _give_up(self, stalled: list[str]) -> None:
        message = f"no progress for {self._patience:g} s: {'; '.join(stalled)}"
        self._rebuilds += 1
        self._metrics.rebuilt.inc()
        if self._rebuilds > _REBUILDS:
            self._health.fail(f"the consumer was built anew and makes no progress: {message}")
        raise StalledError(message)

    def _show_lag(
        self,
        partitions: Mapping[TopicPartition, PartitionConsumer[Any]],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        messages: dict[str, int] = defaultdict(int)
        seconds: dict[str, float] = defaultdict(float)
        for partition, one in partitions.items():
            if one.position is not None and (lag := ends.get(partition, 0) - one.position) > 0:
                messages[partition.topic] += lag
                age = time.time() - one.last_sent_at
                seconds[partition.topic] = max(seconds[partition.topic], age)
        self._topics |= {partition.topic for partition in partitions}
        for topic in self._topics:
            self._metrics.lag.labels(topic).set(messages[topic])
            self._metrics.lag_seconds.labels(topic).set(seconds[topic])
