"""One loop of the relay, on one connection: read what is unsent, send it, delete what Kafka has.

A crash between the last two sends rows twice; the consumers' inbox stops the second. A relay that
lost its shards without knowing, as it was frozen, can only send what its successor sends as well.
"""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publishing.publisher import Published, Publisher, Refused
from chassis.messaging.publishing.refusals import Refusals
from chassis.messaging.publishing.scan import Scan
from chassis.messaging.publishing.shards import Shards
from chassis.messaging.publishing.unsent import OutboxRow, Unsent

log = structlog.get_logger(__name__)

_GAUGE_SECONDS = 5.0
_GAUGE_SHARE = 0.02  # of the time, at most, where counting is slow
_TRIAL_SECONDS = 5.0
_TRIALS = 10  # at a time: the others must not wait for long
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much at a time, and how long to wait for what.

    Attributes:
        page_rows: rows read at a time, at most; 8 MB of payload are another limit.
        poll_seconds: how long a lost hint may delay an event, or a dead relay its successor.
        acknowledge_seconds: how long a page may wait for Kafka.
        frozen_seconds: after so long without a word PostgreSQL ends our session, and so our locks;
            more than Kafka may take.
    """

    page_rows: int = 1000
    poll_seconds: float = 1.0
    acknowledge_seconds: float = 15.0
    frozen_seconds: float = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """What one lane is.

    Attributes:
        name: of the lane, for locks and clients; it begins with the service.
        topics: an SQL condition on ``topic``.
        channel: where hints come.
        gauges: whether this lane tells how much waits in the service.
        pace: how it goes.
    """

    name: str
    topics: str
    channel: str
    gauges: bool
    pace: Pace


class Lane:
    """Publishes one lane's events for as long as its connection lives.

    Args:
        connection: reads and deletes, and holds the locks of the shards.
        kafka: where Kafka is.
        metrics: where it tells what it does.
        options: what it is.
    """

    def __init__(
        self,
        *,
        connection: asyncpg.Connection,
        kafka: KafkaConnection,
        metrics: RelayMetrics,
        options: LaneOptions,
    ) -> None:
        self._connection = connection
        self._kafka = kafka
        self._metrics = metrics
        self._options = options
        self._shards = Shards(connection=connection, name=options.name)
        self._unsent = Unsent(
            connection=connection,
            shards=self._shards,
            lane=options.topics,
            page_rows=options.pace.page_rows,
        )
        self._refusals = Refusals(connection=connection, shards=self._shards, lane=options.topics)
        self._scan = Scan()
        self._wake = asyncio.Event()
        self._balance_due = 0.0
        self._gauges_due = 0.0

    async def run(self) -> None:
        """Publish until the connection is lost or the task cancelled; Kafka away is waited for.

        Raises:
            asyncpg.PostgresError: the connection is lost, or its server takes no writes.
        """
        if await self._connection.fetchval("SHOW transaction_read_only") == "on":
            message = "the server is a read-only one: what is sent could not be deleted"
            raise asyncpg.ReadOnlySQLTransactionError(message)
        await self._connection.add_listener(self._options.channel, lambda *_: self._wake.set())
        self._connection.add_termination_listener(lambda _: self._wake.set())
        failures = 0
        while True:
            try:
                await self._keep_up()
                async with self._publisher(self._options.pace.acknowledge_seconds) as publisher:
                    failures = 0
                    await self._publish_until_refused(publisher)
            except KafkaError as error:
                log.warning("relay waits for Kafka", error=f"{type(error).__name__}: {error}")
                delay = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                failures += 1
                await asyncio.sleep(delay)

    def _publisher(self, seconds: float) -> contextlib.AbstractAsyncContextManager[Publisher]:
        return Publisher.connected(
            kafka=self._kafka, client_id=self._options.name, acknowledge_seconds=seconds
        )

    async def _publish_until_refused(self, publisher: Publisher) -> None:
        """Publish with one producer until Kafka refuses something; then it is thrown away."""
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
        """Say whether something was refused, and whether more can be done at once."""
        start, begun = self._scan.start(), time.monotonic()
        page = await self._unsent.page(
            start, but_topics=self._scan.waiting_topics, but_keys=self._refusals.keys
        )
        seconds = time.monotonic() - begun
        published = await publisher.publish(
            page.rows, waiting=self._scan.waiting, limits=self._scan.limits
        )
        if published.acknowledged:
            await self._unsent.delete(published.acknowledged)
            self._count(published)
        for refused in published.refused:
            await self._note(refused)
        return bool(published.refused), self._scan.advance(page, published, seconds=seconds)

    async def _keep_up(self) -> None:
        """Do what is due from time to time; nothing is in flight here."""
        now = time.monotonic()
        if now >= self._balance_due:
            self._balance_due = now + min(1.0, self._options.pace.poll_seconds)
            if await self._shards.balance():
                await self._refusals.load()
                self._scan.restart()
                log.info("relay holds shards", lane=self._options.name, shards=self._shards.held)
        if self._options.gauges and now >= self._gauges_due:
            await self._measure()
            spent = time.monotonic() - now
            self._gauges_due = now + max(_GAUGE_SECONDS, spent / _GAUGE_SHARE)
        for seq in self._refusals.due()[:_TRIALS]:
            await self._try_again(seq)

    async def _try_again(self, seq: int) -> None:
        """Send a refused row by a producer of its own: it may be spoilt by that."""
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
            log.error(
                "Kafka refuses an event: it holds up its key, and is tried again by itself; "
                "outbox_refusals tells of it",
                topic=topic,
                seq=refused.row.seq,
                error=error,
            )
        else:
            log.error(
                "Kafka did not take a batch: its rows and those behind them in the partition wait",
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

    async def _measure(self) -> None:
        backlog = await self._unsent.backlog()
        self._metrics.backlog.set(backlog.rows)
        self._metrics.oldest.set(backlog.age)
        self._metrics.refused.set(backlog.refused)


def _age(row: OutboxRow, now: float) -> float:
    return now - row.created_at.timestamp()
