"""One loop of the relay, on one connection: read unsent rows, send them, delete them.

A row is deleted once Kafka has acknowledged it, while the next page is sent. A crash between the
two sends two pages twice; the consumers' inbox drops the second ones. A relay that was frozen, and
lost its shards unnoticed, can only send what its successor sends as well.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from chassis.backoff import pause_by_share
from chassis.cancellation import closed_by
from chassis.loops import Failures, for_ever, passes_if
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publishing.publisher import Published, Publisher, Refused
from chassis.messaging.publishing.refusals import Refusals
from chassis.messaging.publishing.scan import Scan
from chassis.messaging.publishing.shards import Shards
from chassis.messaging.publishing.unsent import OutboxRow, Unsent

log = structlog.get_logger(__name__)

_GAUGE_SECONDS = 5.0
_GAUGE_SHARE = 0.02  # the maximum share of the time, as counting may be slow
_GAUGE_LONGEST_SECONDS = 60.0  # half of the age at which an alert fires
_GAUGE_HOLDS_SECONDS = 90.0  # more than a page and a round of trials take
_TRIAL_SECONDS = 5.0
_TRIALS = 10  # refused rows per round, as the other rows wait for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The size of a page, and the relay's intervals and time-outs.

    Attributes:
        page_rows: the maximum number of rows in a page; 8 MB of payload is another limit.
        poll_seconds: the longest that a lost hint delays an event, or that the shards of a relay
            that has ended wait for another relay.
        acknowledge_seconds: how long a page may wait for Kafka.
        frozen_seconds: PostgreSQL ends our session, and so our locks, when it was idle for so long;
            must be more than `acknowledge_seconds`.
    """

    page_rows: int = 1000
    poll_seconds: float = 1.0
    acknowledge_seconds: float = 15.0
    frozen_seconds: float = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """The options of one lane.

    Attributes:
        name: the lane's name for locks and clients; it begins with the service's name.
        topics: an SQL condition on ``topic``.
        channel: the channel of hints.
        gauges: whether this lane measures the outbox of the whole service.
        pace: the size of a page, intervals and time-outs.
    """

    name: str
    topics: str
    channel: str
    gauges: bool
    pace: Pace


class Lane:
    """Publishes one lane's events for as long as its connection lives.

    Args:
        connection: reads and deletes rows, and holds the locks of the shards.
        kafka: how to connect to Kafka.
        metrics: the metrics of the relay.
        options: the options of this lane.
        on_ready: called when the lane could read its tables.
    """

    def __init__(
        self,
        *,
        connection: asyncpg.Connection,
        kafka: KafkaConnection,
        metrics: RelayMetrics,
        options: LaneOptions,
        on_ready: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._kafka = kafka
        self._metrics = metrics
        self._options = options
        self._on_ready = on_ready
        self._failures = Failures()
        self._shards = Shards(connection=connection, name=options.name)
        self._unsent = Unsent(
            connection=connection,
            shards=self._shards,
            lane=options.topics,
            page_rows=options.pace.page_rows,
        )
        self._refusals = Refusals(connection=connection, shards=self._shards, lane=options.topics)
        self._scan = Scan()
        self._acknowledged: Sequence[OutboxRow] = ()  # not deleted yet
        self._wake = asyncio.Event()
        self._balance_due = 0.0
        self._gauges_due = 0.0

    async def run(self) -> None:
        """Publish until the connection is lost or the task is cancelled; retry Kafka's errors.

        Raises:
            asyncpg.PostgresError: the connection is lost, or the server is read-only.
        """
        if await self._connection.fetchval("SHOW transaction_read_only") == "on":
            message = (
                "PostgreSQL is read-only, so the relay can't delete the rows that it has "
                "published. Connect it to the primary server."
            )
            raise asyncpg.ReadOnlySQLTransactionError(message)
        await self._connection.add_listener(self._options.channel, lambda *_: self._wake.set())
        self._connection.add_termination_listener(lambda _: self._wake.set())
        await for_ever(
            self._publish_by_one_producer,
            every=0,
            name=f"{self._options.name} to Kafka",
            passes=passes_if(KafkaError),
            failures=self._failures,
        )

    async def _publish_by_one_producer(self) -> None:
        await self._keep_up()
        self._on_ready()
        async with self._publisher(self._options.pace.acknowledge_seconds) as publisher:
            self._failures.clear()
            await self._publish_until_refused(publisher)

    def _publisher(self, seconds: float) -> contextlib.AbstractAsyncContextManager[Publisher]:
        return Publisher.connected(
            kafka=self._kafka, client_id=self._options.name, acknowledge_seconds=seconds
        )

    async def _publish_until_refused(self, publisher: Publisher) -> None:
        """Publish until Kafka refuses something; the caller then discards the producer."""
        async with closed_by(self._delete_acknowledged):
            while True:
                self._wake.clear()
                await self._keep_up()
                refused, more = False, False
                if self._shards.held:
                    refused, more = await self._publish_page(publisher)
                if refused:
                    return
                if not more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._options.pace.poll_seconds)

    async def _publish_page(self, publisher: Publisher) -> tuple[bool, bool]:
        """Publish a page, and delete the one before it at the same time.

        Returns:
            whether something was refused, and whether to read on without waiting. If not, nothing
            that is acknowledged is left to delete.
        """
        start, begun = self._scan.start(), time.monotonic()
        page = await self._unsent.read_page(
            start,
            but_rows=self._acknowledged,
            but_topics=self._scan.waiting_topics,
            but_keys=self._refusals.keys,
        )
        seconds = time.monotonic() - begun
        deleting = asyncio.create_task(self._delete_acknowledged())
        try:
            published = await publisher.publish(
                page.rows, waiting=self._scan.waiting, limits=self._scan.limits
            )
        finally:
            await deleting
        self._acknowledged = published.acknowledged
        self._count(published)
        if published.refused:
            await self._delete_acknowledged()
        for refused in published.refused:
            await self._note(refused)
        more = self._scan.advance(page, published, seconds=seconds)
        if not more:
            await self._delete_acknowledged()
        return bool(published.refused), more

    async def _delete_acknowledged(self) -> None:
        rows, self._acknowledged = self._acknowledged, ()
        if rows:
            await self._unsent.delete(rows)

    async def _keep_up(self) -> None:
        """Do what is due from time to time; call it only when no batch is in flight."""
        now = time.monotonic()
        if now >= self._balance_due:
            self._balance_due = now + min(1.0, self._options.pace.poll_seconds)
            # The relay that gets one of our shards must not find rows that are acknowledged.
            await self._delete_acknowledged()
            if await self._shards.balance():
                await self._refusals.load()
                self._scan.restart()
                log.info("relay shards changed", lane=self._options.name, shards=self._shards.held)
        if self._options.gauges and now >= self._gauges_due:
            await self._measure(now)
        for seq in self._refusals.due()[:_TRIALS]:
            await self._try_again(seq)

    async def _try_again(self, seq: int) -> None:
        """Send a refused row with a separate producer, which another refusal may make unusable."""
        row = await self._unsent.one(seq)
        if row is None:
            await self._forget(seq)
            return
        async with self._publisher(_TRIAL_SECONDS) as publisher:
            published = await publisher.publish([row])
        if published.acknowledged:
            self._count(published)
            await self._forget(seq)
            return
        for refused in published.refused:
            if refused.of_the_row:
                await self._refusals.record(row, refused.error)
            else:
                self._refusals.postpone(seq)

    async def _forget(self, seq: int) -> None:
        await self._refusals.forget(seq)
        self._scan.restart()

    async def _note(self, refused: Refused) -> None:
        self._metrics.errors.inc()
        topic, partition = refused.place
        error = f"{type(refused.error).__name__}: {refused.error}"
        if refused.of_the_row:
            await self._refusals.record(refused.row, refused.error)
            # The event blocks its key, and is retried. The table outbox_refusals shows it.
            log.error(
                "event refused by Kafka",
                topic=topic,
                seq=refused.row.seq,
                error=error,
            )
        else:
            # The rows of the batch, and those after them in the partition, wait.
            log.error(
                "batch refused by Kafka",
                topic=topic,
                partition=partition,
                first_seq=refused.row.seq,
                rows=refused.rows,
                error=error,
            )

    def _count(self, published: Published) -> None:
        for topic, number in Counter(row.topic for row in published.acknowledged).items():
            self._metrics.published.labels(topic).inc(number)
        now = datetime.now(UTC).timestamp()
        for row in published.acknowledged:
            self._metrics.latency.observe(_age(row, now))

    async def _measure(self, now: float) -> None:
        backlog = await self._unsent.backlog()
        ended = time.monotonic()
        pause = pause_by_share(
            ended - now,
            share=_GAUGE_SHARE,
            shortest=_GAUGE_SECONDS,
            longest=_GAUGE_LONGEST_SECONDS,
        )
        self._gauges_due = ended + pause
        self._metrics.show(
            rows=backlog.rows,
            age=backlog.age,
            refused=backlog.refused,
            seconds=pause + _GAUGE_HOLDS_SECONDS,
        )


def _age(row: OutboxRow, now: float) -> float:
    return now - row.created_at.timestamp()
