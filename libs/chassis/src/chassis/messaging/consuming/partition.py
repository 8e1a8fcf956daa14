"""Consumes one partition: a batch after the other, each committed after its transaction."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from chassis.messaging.consuming.batch import BatchRunner, Progress, TooManyFailuresError
from chassis.messaging.consuming.parking import describe
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

_POLL_MS = 1000
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SLOW_SECONDS = 5.0


class PartitionConsumer[R]:
    """One partition, for as long as the group gives it to this member.

    Args:
        consumer: the member.
        partition: which.
        runner: runs the messages in transactions.
        metrics: where it tells what it does.
        batch_messages: messages in one transaction, at most.

    Attributes:
        position: the offset of the next message to be met; None before the first is known.
        last_sent_at: when the last message that was met was sent, in seconds since the epoch.
        working: whether messages are in hand, or it waits before it tries them again.
    """

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        runner: BatchRunner[R],
        metrics: ConsumerMetrics,
        batch_messages: int,
    ) -> None:
        self._consumer = consumer
        self.partition = partition
        self._runner = runner
        self._metrics = metrics
        self._most = batch_messages
        self._size = batch_messages
        self._failures = 0
        self._stopping = False
        self._commit: asyncio.Task[None] | None = None
        self._uncommitted: int | None = None
        self.position: int | None = None
        self.last_sent_at = time.time()
        self.working = False

    async def run(self) -> None:
        """Consume until cancelled, or until `finish` was called and the batch in hand is done."""
        try:
            await self._check_position()
            while not self._stopping:
                polled = await self._consumer.getmany(
                    self.partition, timeout_ms=_POLL_MS, max_records=self._size
                )
                for records in polled.values():
                    await self._process(records)
                if not polled:
                    await self._rest()
        finally:
            if self._commit is not None:
                self._commit.cancel()
                await asyncio.gather(self._commit, return_exceptions=True)

    async def _rest(self) -> None:
        """Nothing came: meet the error of the last commit, and learn where the partition ends."""
        if self._commit is not None:
            await self._commit
        await self._take_position()

    async def finish(self, task: asyncio.Task[None], *, seconds: float) -> None:
        """End `task`, which runs this: what is in hand may be finished for so long, or is dropped.

        Dropped is rolled back; the next owner of the partition meets it again.
        """
        self._stopping = True
        if self.working:
            await asyncio.wait([task], timeout=seconds)
        if self._commit is not None:
            await asyncio.wait([self._commit], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])

    async def _check_position(self) -> None:
        """Find where to begin; tell of messages that Kafka dropped before they were met."""
        committed = await self._consumer.committed(self.partition)
        offsets = await self._consumer.beginning_offsets([self.partition])
        oldest = offsets[self.partition]
        if committed is not None and committed < oldest:
            self._metrics.out_of_range.labels(self.partition.topic).inc()
            log.error(
                "messages were dropped by Kafka before this service met them",
                topic=self.partition.topic,
                partition=self.partition.partition,
                committed=committed,
                oldest=oldest,
            )
        await self._take_position()

    async def _take_position(self) -> None:
        """Ask the client: at its end a partition may have what is no message of anybody's."""
        with contextlib.suppress(IllegalStateError):  # revoked meanwhile
            self.position = await self._consumer.position(self.partition)

    async def _process(self, records: Sequence[ConsumerRecord]) -> None:
        self.working = True
        try:
            started = time.monotonic()
            progress = await self._runner.run(records, stopping=lambda: self._stopping)
            self._adapt(time.monotonic() - started)
            await self._advance(records, progress)
            if progress.error is not None:
                await self._back_off(records[progress.done], progress.error)
        finally:
            self.working = False

    def _adapt(self, seconds: float) -> None:
        """Smaller batches where handlers are slow: a transaction must end in time."""
        if seconds > _SLOW_SECONDS:
            self._size = max(1, self._size // 4)
        elif seconds * 4 < _SLOW_SECONDS:
            self._size = min(self._most, self._size * 2)

    async def _advance(self, records: Sequence[ConsumerRecord], progress: Progress) -> None:
        if progress.done:
            self._failures = 0
            last = records[progress.done - 1]
            self.position, self.last_sent_at = last.offset + 1, last.timestamp / 1000
        if progress.done < len(records):
            # Before the commit, which may fail: what follows must not be fetched first.
            with contextlib.suppress(IllegalStateError):  # revoked meanwhile
                self._consumer.seek(self.partition, records[progress.done].offset)
        if progress.done:
            await self._commit_later(records[progress.done - 1].offset + 1)

    async def _commit_later(self, offset: int) -> None:
        """Commit while the next batches run; one commit at a time, so that none goes back.

        aiokafka commits one partition after the other. Who waited here for its turn would leave
        what was fetched where it is, and while records lie there aiokafka fetches no more.
        """
        self._uncommitted = offset
        if self._commit is not None:
            if not self._commit.done():
                return  # it takes this one, too
            await self._commit  # its error is met here
        self._commit = asyncio.create_task(self._commit_newest())

    async def _commit_newest(self) -> None:
        while self._uncommitted is not None:
            offset, self._uncommitted = self._uncommitted, None
            await self._commit_offset(offset)

    async def _commit_offset(self, offset: int) -> None:
        try:
            await self._consumer.commit({self.partition: offset})
        except (CommitFailedError, IllegalStateError) as lost:
            # The partition went to another member: it will meet our inbox rows as duplicates.
            log.info("partition was lost meanwhile", partition=str(self.partition), error=str(lost))

    async def _back_off(self, record: ConsumerRecord, error: Exception) -> None:
        delay = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        stopped = isinstance(error, TooManyFailuresError)
        tell = log.error if stopped else log.warning
        tell(
            "a partition waits before it tries its next message again",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=self._failures,
            retry_in_seconds=delay,
            error=describe(error),
        )
        waiting = self._metrics.waiting.labels("failures" if stopped else "infrastructure")
        with waiting.track_inprogress():
            await asyncio.sleep(delay)
