"""The consumer: each message takes effect once, in the order of its key.

One transaction holds a batch's inbox rows, effects and outbox rows. Its offset is committed after
it, a few times a second for all partitions. A crash in between delivers the batches since then
again, and the inbox drops them. Partitions progress independently. When the group revokes
partitions, batches in hand are finished or rolled back, and offsets are committed, before another
member gets the partitions.
"""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from chassis.cancellation import GuardedTaskGroup, closed_by
from chassis.error_text import leaves
from chassis.health import Health
from chassis.library_internals.aiokafka import retrieve_errors_of_commits
from chassis.loops import Failures, for_ever, passes_if
from chassis.messaging.clients import start, stopping
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.offsets import Offsets
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.consuming.watchdog import StalledError, Watchdog
from chassis.messaging.fetching import Arrivals
from chassis.messaging.metrics import ConsumerMetrics

# Each attempt makes the group rebalance, and all members wait for that.
_BACKOFF = (1.0,)
# A member learns of a rebalance with its next heartbeat, and all others wait for it: ADR 16.
_HEARTBEAT_MS = 500
# A partition whose records are still in hand when a fetch begins waits for that fetch to end.
_FETCH_WAIT_MS = 100
# A member that catches up holds two responses of Kafka at a time: the one in hand and the next. By
# aiokafka's defaults, 1 MiB for each partition and 50 MiB in all, they would be most of a worker's
# memory. A batch that is larger than this is fetched as well, alone.
_PARTITION_FETCH_BYTES = 256 * 1024
_FETCH_BYTES = 4 * 1024 * 1024
# Shares of the session time-out, for which the group waits when it revokes partitions: the batches
# in hand, then a commit that is in progress and the last one.
_FINISH_SHARE = 0.3
_COMMIT_SHARE = 0.2
# The least time between two commits: 6 partitions that commit each batch would send 600 a second.
_COMMIT_SECONDS = 0.25
READY = "consumer position"


class Consumer:
    """Consumes one service's topics for as long as the process lives.

    Args:
        service: names the consumer group.
        kafka: how to connect to Kafka.
        runner: runs a partition's messages in transactions, and has the topics.
        watchdog: checks that the consumer makes progress.
        metrics: the metrics of the consumer.
        health: becomes ready once the position is known.
        batch_messages: the maximum number of messages in one transaction.
        session_seconds: after this time the group gives a silent member's partitions to another.
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
        self._arrivals: Arrivals | None = None  # of the present membership
        health.expect(READY)
        for topic in self._topics:  # a counter whose first value is 1 shows no increase
            metrics.out_of_range.labels(topic)

    async def run(self) -> None:
        """Consume until cancelled; wait for a broker that is unavailable."""
        await for_ever(
            self._join_group,
            every=0,
            name="consumer",
            passes=passes_if(KafkaError, StalledError),
            failures=Failures(_BACKOFF),
        )

    async def _join_group(self) -> None:
        """Be a member of the group until a partition's task or the watchdog raises."""
        group, consumer = GuardedTaskGroup(), self._client()
        offsets = self._offsets(consumer)
        assignment = self._assignment(group, consumer, offsets)
        try:
            await self._consume(group, consumer, offsets, assignment)
        except* (KafkaError, StalledError) as errors:
            await self._watchdog.failed(assignment, [repr(one) for one in leaves(errors)])
            raise

    def _offsets(self, consumer: AIOKafkaConsumer) -> Offsets:
        limit = self._session_ms / 1000 * _COMMIT_SHARE
        return Offsets(consumer=consumer, every=_COMMIT_SECONDS, limit=limit)

    def _assignment(
        self, group: GuardedTaskGroup, consumer: AIOKafkaConsumer, offsets: Offsets
    ) -> Assignment:
        return Assignment(
            group=group,
            consume=lambda one: self._partition(consumer, offsets, one),
            offsets=offsets,
            on_known=lambda: self._health.loaded(READY),
            finish_seconds=self._session_ms / 1000 * _FINISH_SHARE,
        )

    async def _consume(
        self,
        group: GuardedTaskGroup,
        consumer: AIOKafkaConsumer,
        offsets: Offsets,
        assignment: Assignment,
    ) -> None:
        self._arrivals = arrivals = Arrivals(consumer)
        async with stopping(consumer), closed_by(offsets.give_up), group:
            consumer.subscribe(self._topics, listener=assignment)
            await start(consumer)
            retrieve_errors_of_commits(consumer)
            group.create_task(offsets.run(), name="offsets")
            group.create_task(arrivals.run(), name="arrivals")
            await self._watchdog.run(assignment)

    def _client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.options,
            group_id=self._group,
            client_id=f"{self._service}-worker",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=min(_HEARTBEAT_MS, self._session_ms // 3),
        )

    def _partition(
        self, consumer: AIOKafkaConsumer, offsets: Offsets, partition: TopicPartition
    ) -> PartitionConsumer[Any]:
        return PartitionConsumer(
            consumer=consumer,
            offsets=offsets,
            arrivals=self._arrivals,
            partition=partition,
            runner=self._runner,
            metrics=self._metrics,
            health=self._health,
            batch_messages=self._batch_messages,
        )
