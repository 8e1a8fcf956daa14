"""Consumes one partition in batches, and notes the offset after each batch's transaction.

If something in the partition can't be read, this partition alone stops. It retries with backoff,
without limit.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from chassis.error_text import describe
from chassis.health import Health
from chassis.loops import BACKOFF, Failures, pause
from chassis.messaging.consuming.batch import BatchRunner, Progress, TooManyFailuresError
from chassis.messaging.consuming.offsets import Offsets
from chassis.messaging.fetching import (
    Arrivals,
    PartitionError,
    PartitionFetcher,
    UndecodableBatchError,
    refusals,
)
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_POLL_MS = 1000
_BACKOFF = (*BACKOFF, 10.0)
_SLOW_SECONDS = 5.0


class PartitionConsumer[R]:
    """One partition, for as long as the group assigns it to this member.

    Args:
        consumer: the member.
        offsets: commits the offsets of the member.
        partition: the partition to consume.
        runner: runs the messages in transactions.
        metrics: the metrics of the consumer.
        health: shows what stops this partition.
        batch_messages: the maximum number of messages in one transaction.
        arrivals: see PartitionFetcher.

    Attributes:
        position: the offset of the next message; None until it is known.
        working: whether a batch is in hand, or waits to be retried.
        unreadable: whether Kafka has messages of this partition that can't be read.
        moved: whether a message was done.
    """

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        offsets: Offsets,
        partition: TopicPartition,
        runner: BatchRunner[R],
        metrics: ConsumerMetrics,
        health: Health,
        batch_messages: int,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._consumer = consumer
        self._offsets = offsets
        self.partition = partition
        self._runner = runner
        self._metrics = metrics
        self._health = health
        self._fetcher = PartitionFetcher(consumer=consumer, partition=partition, arrivals=arrivals)
        self._most = batch_messages
        self._size = batch_messages
        self._failures = Failures(_BACKOFF)
        self._stopping = asyncio.Event()
        self._waits_for: str | None = None
        self._unreadable_at: int | None = None
        self.position: int | None = None
        self.working = False
        self.unreadable = False
        self.moved = False

    async def run(self) -> None:
        """Consume until cancelled, or until `finish` was called and the batch in hand is done."""
        try:
            while not self._stopping.is_set():
                try:
                    records = await self._poll()
                except PartitionError as error:
                    await self._stand_still(error)
                    continue
                if records:
                    self._read_again()
                    await self._process(records)
                else:
                    await self._rest()
        finally:
            self._health.recover(self._name)
            self._wait_for(None)

    async def _poll(self) -> Sequence[ConsumerRecord]:
        if self.position is None:
            with refusals(self.partition):
                await self._take_position()
        return await self._fetcher.poll(most=self._size, timeout_ms=_POLL_MS)

    async def _rest(self) -> None:
        """Handle an empty poll: note the position.

        The last records of a partition may be no messages: the marker of a transaction, or what an
        aborted one wrote. Their offsets are committed as well, or lag would never be 0.
        """
        await self._take_position()
        if self.position is not None:
            self._offsets.note(self.partition, self.position)
        if self.position != self._unreadable_at:
            self._read_again()
        if not self.unreadable:
            self._wait_for(None)

    async def finish(self, task: asyncio.Task[None], *, seconds: float) -> None:
        """End `task`, which runs this consumer; the batch in hand has `seconds` to finish.

        If it does not finish, it is rolled back; the partition's next owner handles it.
        """
        self._stopping.set()
        if self.working:
            await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])

    async def _take_position(self) -> None:
        """Read the position from the client, as only the client knows where Kafka moved it."""
        with contextlib.suppress(IllegalStateError):  # the partition was revoked
            position = await self._consumer.position(self.partition)
            await self._tell_of_gap(position)
            self.position = position

    async def _tell_of_gap(self, offset: int) -> None:
        """Log and count it if Kafka dropped messages before `offset` that were not consumed.

        Most gaps lost nothing: compaction and transactions leave some as well.
        """
        if self.position is None or offset <= self.position:
            return
        with contextlib.suppress(KafkaError):  # consuming does not depend on this check
            oldest = (await self._consumer.beginning_offsets([self.partition]))[self.partition]
            if self.position < oldest <= offset:
                self._metrics.out_of_range.labels(self.partition.topic).inc()
                log.error(
                    "messages deleted before consumption",
                    topic=self.partition.topic,
                    partition=self.partition.partition,
                    expected=self.position,
                    oldest=oldest,
                )

    async def _process(self, records: Sequence[ConsumerRecord]) -> None:
        self.working = True
        try:
            await self._tell_of_gap(records[0].offset)
            started = time.monotonic()
            progress = await self._runner.run(records, stopping=self._stopping.is_set)
            self._adapt(time.monotonic() - started)
            self._advance(records, progress)
            if progress.error is None:
                self._wait_for(None)
            else:
                await self._back_off(records[progress.done], progress.error)
        finally:
            self.working = False

    def _adapt(self, seconds: float) -> None:
        """Use smaller batches if handlers are slow, as a transaction must end in time."""
        if seconds > _SLOW_SECONDS:
            self._size = max(1, self._size // 4)
        elif seconds * 4 < _SLOW_SECONDS:
            self._size = min(self._most, self._size * 2)

    def _advance(self, records: Sequence[ConsumerRecord], progress: Progress) -> None:
        if progress.done:
            self._failures.clear()
            self.moved = True
            self.position = records[progress.done - 1].offset + 1
            self._offsets.note(self.partition, self.position)
        if progress.done < len(records):
            with contextlib.suppress(IllegalStateError):  # the partition was revoked
                self._consumer.seek(self.partition, records[progress.done].offset)

    async def _back_off(self, record: ConsumerRecord, error: Exception) -> None:
        stopped = isinstance(error, TooManyFailuresError)
        delay = self._next_delay("failures" if stopped else "infrastructure")
        log.log(
            logging.ERROR if stopped else logging.WARNING,
            "partition paused",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=self._failures.number,
            retry_in_seconds=delay,
            error=describe(error),
        )
        await pause(delay, self._stopping)  # a rebalance does not wait for it

    async def _stand_still(self, error: PartitionError) -> None:
        self.unreadable = True
        reason = "refused"
        if isinstance(error, UndecodableBatchError):
            reason = "undecodable"
            await self._take_position()
            self._unreadable_at = self.position
        delay = self._next_delay(reason)
        self._health.degrade(self._name, f"offset {self.position}: {error}")
        log.error(
            "partition unreadable",
            topic=self.partition.topic,
            partition=self.partition.partition,
            offset=self.position,
            attempts=self._failures.number,
            retry_in_seconds=delay,
            error=str(error),
        )
        await asyncio.sleep(delay)

    def _read_again(self) -> None:
        if self.unreadable:
            self.unreadable, self._unreadable_at = False, None
            self._failures.clear()
            self._health.recover(self._name)
            log.info("partition readable again", partition=self._name, offset=self.position)

    def _next_delay(self, reason: str) -> float:
        self._wait_for(reason)
        return self._failures.count()

    def _wait_for(self, reason: str | None) -> None:
        """Show in the metrics why it waits, from the first failure until it goes on."""
        if reason == self._waits_for:
            return
        if self._waits_for is not None:
            self._metrics.waiting.labels(self._waits_for).dec()
        if reason is not None:
            self._metrics.waiting.labels(reason).inc()
        self._waits_for = reason

    @property
    def _name(self) -> str:
        return f"{self.partition.topic}/{self.partition.partition}"
