"""The consumer: each message takes effect once, in the order of its key.

One transaction holds a batch's inbox rows, effects and outbox rows; the offset is committed after
it, so a crash between the two brings the batch again, and the inbox stops it. Partitions go on
independently. When the group takes partitions away, what is in hand is finished or rolled back
before another member gets them.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from chassis.health import Health
from chassis.messaging.clients import start, stop_consumer
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.consuming.watchdog import StalledError, Watchdog
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_RECONNECT_SECONDS = 1.0
# A member hears of a rebalance with its next heartbeat, and all others wait for it: ADR 16.
_HEARTBEAT_MS = 500
# A partition whose records were still in hand when a fetch began waits for that fetch to end.
_FETCH_WAIT_MS = 100
# No heartbeat goes out while partitions are given up; a commit may follow, for as long again.
_FINISH_SHARE = 0.3
READY = "consumer position"


class Consumer:
    """Consumes one service's topics for as long as the process lives.

    Args:
        service: names the consumer group.
        kafka: where Kafka is.
        runner: runs a partition's messages in transactions; knows the topics.
        watchdog: looks whether the consumer gets on.
        metrics: where it tells what it does.
        health: told once the position is known.
        batch_messages: messages in one transaction, at most.
        session_seconds: after which the group gives a silent member's partitions to another.
    """

    def __init__(
        self,
        *,
        service: str,
        kafka: KafkaConnection,
        runner: BatchRunner[Any],
        watchdog: Watchdog,
        metrics: ConsumerMetrics,
        health: Health,
        batch_messages: int = 250,
        session_seconds: float = 10.0,
    ) -> None:
        self._service = service
        self._kafka = kafka
        self._topics = [kafka.topic_prefix + topic for topic in runner.topics]
        self._group = kafka.topic_prefix + service
        self._runner = runner
        self._watchdog = watchdog
        self._metrics = metrics
        self._health = health
        self._batch_messages = batch_messages
        self._session_ms = round(session_seconds * 1000)
        health.expect(READY)

    async def run(self) -> None:
        """Consume until cancelled; a broker that is away is waited for."""
        while True:
            try:
                await self._consume()
            except* (KafkaError, StalledError) as errors:  # of a partition's task, or the watchdog
                causes = [repr(error) for error in _leaves(errors)]
                log.warning("consumer reconnects", errors=causes)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _consume(self) -> None:
        consumer = self._client()
        try:
            async with asyncio.TaskGroup() as group:
                assignment = Assignment(
                    group=group,
                    consume=lambda one: self._partition(consumer, one),
                    on_known=lambda: self._health.loaded(READY),
                    finish_seconds=self._session_ms / 1000 * _FINISH_SHARE,
                )
                consumer.subscribe(self._topics, listener=assignment)
                await start(consumer)
                await self._watchdog.run(assignment)
        finally:
            await stop_consumer(consumer)

    def _client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.options,
            group_id=self._group,
            client_id=f"{self._service}-worker",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=min(_HEARTBEAT_MS, self._session_ms // 3),
        )

    def _partition(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition
    ) -> PartitionConsumer[Any]:
        return PartitionConsumer(
            consumer=consumer,
            partition=partition,
            runner=self._runner,
            metrics=self._metrics,
            batch_messages=self._batch_messages,
        )


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
