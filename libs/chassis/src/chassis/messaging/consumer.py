"""The consumer: each message takes effect once, in the order of its partition.

One transaction holds a batch's inbox rows, effects and outbox rows; the offset is committed after
it, so a crash between the two brings the batch again, and the inbox stops it. A batch that fails is
run again message by message, so that the good ones before a bad one go through. A message that
fails stops its partition, which retries with backoff; the other partitions go on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from chassis.health import Health
from chassis.messaging.batch import BatchRunner
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_POLL_MS = 1000
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_RECONNECT_SECONDS = 1.0
READY = "consumer position"


class Consumer:
    """Consumes one service's topics for as long as the process lives.

    Args:
        service: names the consumer group.
        kafka: where Kafka is.
        runner: runs a partition's messages in transactions; knows the topics.
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
        metrics: ConsumerMetrics,
        health: Health,
        batch_messages: int = 500,
        session_seconds: float = 10.0,
    ) -> None:
        self._service = service
        self._kafka = kafka
        self._topics = [kafka.topic_prefix + topic for topic in runner.topics]
        self._group = kafka.topic_prefix + service
        self._runner = runner
        self._metrics = metrics
        self._health = health
        self._batch_messages = batch_messages
        self._session_ms = round(session_seconds * 1000)
        self._failures: dict[TopicPartition, int] = {}
        self._resume_at: dict[TopicPartition, float] = {}
        health.expect(READY)

    async def run(self) -> None:
        """Consume until cancelled; a broker that is away is waited for."""
        while True:
            try:
                async with self._connected() as consumer:
                    while True:
                        await self._poll(consumer)
            except* KafkaError as errors:  # one of each partition's task, as a group
                log.warning("consumer reconnects", errors=[repr(e) for e in errors.exceptions])
                await asyncio.sleep(_RECONNECT_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self._kafka.options,
            group_id=self._group,
            client_id=f"{self._service}-worker",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=500,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // 3,
        )
        consumer.subscribe(self._topics, listener=_Position(self._health))
        self._failures.clear()
        self._resume_at.clear()
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        wait = self._resume_due(consumer)
        batches = await consumer.getmany(timeout_ms=wait, max_records=self._batch_messages)
        async with asyncio.TaskGroup() as group:
            for partition, records in batches.items():
                group.create_task(self._process(consumer, partition, records))

    def _resume_due(self, consumer: AIOKafkaConsumer) -> int:
        """Resume what has waited long enough; answer how long the next poll may wait, in ms."""
        now = time.monotonic()
        for partition, due in list(self._resume_at.items()):
            if due <= now or partition not in consumer.assignment():
                del self._resume_at[partition]
                if partition in consumer.assignment():
                    consumer.resume(partition)
        self._metrics.blocked.set(len(self._resume_at))
        if not self._resume_at:
            return _POLL_MS
        return max(1, min(_POLL_MS, int((min(self._resume_at.values()) - now) * 1000)))

    async def _process(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        records: Sequence[ConsumerRecord],
    ) -> None:
        done, error = await self._runner.run(records)
        try:
            if done:
                self._failures.pop(partition, None)
            if error is not None:
                # Before the commit, which may fail: what follows the message must not be fetched.
                self._block(consumer, partition, records[done], error)
            if done:
                await consumer.commit({partition: records[done - 1].offset + 1})
        except (CommitFailedError, IllegalStateError) as lost:
            # The partition went to another member: it will meet our inbox rows as duplicates.
            log.info("partition was lost meanwhile", partition=str(partition), error=str(lost))

    def _block(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        record: ConsumerRecord,
        error: Exception,
    ) -> None:
        failures = self._failures.get(partition, 0)
        self._failures[partition] = failures + 1
        delay = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
        log.error(
            "a message failed: its partition waits and tries again",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=failures + 1,
            retry_in_seconds=delay,
            error=f"{type(error).__name__}: {error}",
        )
        consumer.seek(partition, record.offset)
        consumer.pause(partition)
        self._resume_at[partition] = time.monotonic() + delay


class _Position(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Tells when the group has given this member its partitions, even if it is none."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing: the inbox stops what two members do at once."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """The position is known."""
        del assigned
        self._health.loaded(READY)
