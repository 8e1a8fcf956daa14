"""The relay: moves committed rows of the outbox to Kafka, in order, at least once.

It reads *unsent* rows in ``seq`` order (never ``seq > last``, which would lose a row that commits
late), sends them, and deletes what Kafka acknowledged. A crash between the two sends a row twice;
the consumers' inbox stops the second. One relay works at a time, under a session advisory lock on
the very connection that reads and deletes: who loses the connection has lost the lock.
"""

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from chassis.database.errors import is_infrastructure_error
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publisher import OutboxRow, Published, Publisher, row_of
from chassis.messaging.scan import Scan
from chassis.messaging.wakeup import connected, relay_channel

log = structlog.get_logger(__name__)

# A page ends with the row that brings its payloads over the bound: memory stays small.
_READ = """
    SELECT seq, topic, key, headers, payload, created_at
    FROM (
        SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY seq) AS bytes
        FROM (SELECT * FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2) AS page
    ) AS measured
    WHERE bytes - octet_length(payload) < $3
    ORDER BY seq
"""
_DELETE = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
_BACKLOG = """
    SELECT count(*) AS rows,
           coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age
    FROM outbox
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"

_BATCH_BYTES = 8_000_000
_GAUGE_SECONDS = 5.0
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Relay:
    """Publishes one service's outbox for as long as the process lives.

    Args:
        service: names the lock and the wake-up channel, which are per database.
        dsn: the direct address of the service's schema.
        kafka: where Kafka is.
        metrics: where it tells what it does.
        batch_rows: rows read at a time, at most; 8 MB of payload are another limit.
        poll_seconds: how long a lost hint may delay an event, or a dead relay its successor.
        acknowledge_seconds: how long a batch may wait for Kafka.
    """

    def __init__(
        self,
        *,
        service: str,
        dsn: str,
        kafka: KafkaConnection,
        metrics: RelayMetrics,
        batch_rows: int = 1000,
        poll_seconds: float = 1.0,
        acknowledge_seconds: float = 15.0,
    ) -> None:
        self._service = service
        self._dsn = dsn
        self._kafka = kafka
        self._metrics = metrics
        self._batch_rows = batch_rows
        self._poll_seconds = poll_seconds
        self._acknowledge_seconds = acknowledge_seconds
        self._wake = asyncio.Event()
        self._failures = 0
        self._scan = Scan()

    async def run(self) -> None:
        """Relay until cancelled; PostgreSQL or Kafka away is waited for, with backoff."""
        while True:
            try:
                async with connected(self._dsn, f"{self._service}-relay") as connection:
                    await self._measure(connection)
                    await self._until_locked(connection)
                    await self._listen(connection)
                    while True:
                        await self._publish_until_refused(connection)
            except Exception as error:
                if not (isinstance(error, KafkaError) or is_infrastructure_error(error)):
                    raise
                log.warning("relay pauses", error=f"{type(error).__name__}: {error}")
            await self._back_off()

    async def _until_locked(self, connection: asyncpg.Connection) -> None:
        while True:
            if await connection.fetchval(_LOCK, f"relay:{self._service}"):
                return
            await asyncio.sleep(self._poll_seconds)

    async def _listen(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(relay_channel(self._service), lambda *_: self._wake.set())
        connection.add_termination_listener(lambda _: self._wake.set())

    async def _publish_until_refused(self, connection: asyncpg.Connection) -> None:
        """Publish with one producer until Kafka refuses something; then it is thrown away."""
        gauges_due = 0.0
        async with Publisher.connected(
            kafka=self._kafka,
            client_id=f"{self._service}-relay",
            acknowledge_seconds=self._acknowledge_seconds,
        ) as publisher:
            self._failures = 0
            while True:
                self._wake.clear()
                rows, more = await self._read(connection)
                published = await publisher.publish(
                    rows, waiting=self._scan.waiting, singly=self._scan.singly
                )
                await self._settle(connection, published)
                self._scan.advance(rows, published, more=more)
                if time.monotonic() >= gauges_due:
                    gauges_due = time.monotonic() + _GAUGE_SECONDS
                    await self._measure(connection)
                if published.refused:
                    return
                if not more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._poll_seconds)

    async def _read(self, connection: asyncpg.Connection) -> tuple[list[OutboxRow], bool]:
        """Read the next page; says, too, whether there may be more behind it."""
        records = await connection.fetch(_READ, self._scan.start(), self._batch_rows, _BATCH_BYTES)
        rows = [row_of(record, json.loads(record["headers"])) for record in records]
        full = sum(len(row.payload) for row in rows) >= _BATCH_BYTES
        return rows, full or len(rows) == self._batch_rows

    async def _settle(self, connection: asyncpg.Connection, published: Published) -> None:
        if published.acknowledged:
            await connection.execute(_DELETE, [row.seq for row in published.acknowledged])
            now = datetime.now(UTC)
            for row in published.acknowledged:
                self._metrics.published.labels(row.topic).inc()
                self._metrics.latency.observe((now - row.created_at).total_seconds())
        for refused in published.refused:
            self._metrics.errors.inc()
            topic, partition = refused.place
            log.error(
                "Kafka did not take a batch: its rows and those behind them in the partition wait",
                topic=topic,
                partition=partition,
                first_seq=refused.first_seq,
                rows=refused.rows,
                error=f"{type(refused.error).__name__}: {refused.error}",
            )

    async def _measure(self, connection: asyncpg.Connection) -> None:
        backlog = await connection.fetchrow(_BACKLOG)
        if backlog is not None:
            self._metrics.backlog.set(backlog["rows"])
            self._metrics.oldest.set(backlog["age"])

    async def _back_off(self) -> None:
        delay = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        await asyncio.sleep(delay)
