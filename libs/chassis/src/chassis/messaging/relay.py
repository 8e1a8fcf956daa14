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
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publisher import OutboxRow, Published, Publisher, row_of
from chassis.messaging.wakeup import connected, relay_channel

log = structlog.get_logger(__name__)

_READ = """
    SELECT seq, topic, key, headers, payload, created_at FROM outbox ORDER BY seq LIMIT $1
"""
_DELETE = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
_BACKLOG = """
    SELECT count(*) AS rows,
           coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age
    FROM outbox
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"

_POLL_SECONDS = 1.0
_GAUGE_SECONDS = 5.0
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Relay:
    """Publishes one service's outbox for as long as the process lives.

    Args:
        service: names the lock and the wake-up channel, which are per database.
        dsn: the direct address of the service's schema.
        bootstrap_servers: Kafka's.
        topic_prefix: goes before each topic.
        metrics: where it tells what it does.
        batch_rows: rows read at a time.
    """

    def __init__(
        self,
        *,
        service: str,
        dsn: str,
        bootstrap_servers: str,
        topic_prefix: str,
        metrics: RelayMetrics,
        batch_rows: int = 1000,
    ) -> None:
        self._service = service
        self._dsn = dsn
        self._bootstrap_servers = bootstrap_servers
        self._topic_prefix = topic_prefix
        self._metrics = metrics
        self._batch_rows = batch_rows
        self._wake = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Relay until cancelled; PostgreSQL or Kafka away is waited for, with backoff."""
        while True:
            try:
                async with connected(self._dsn, f"{self._service}-relay") as connection:
                    await self._measure(connection)
                    await self._until_locked(connection)
                    await self._listen(connection)
                    await self._publish_until_refused(connection)
            except Exception as error:
                if not (
                    isinstance(error, (KafkaError, PublishError)) or is_infrastructure_error(error)
                ):
                    raise
                log.warning("relay pauses", error=f"{type(error).__name__}: {error}")
            await self._back_off()

    async def _until_locked(self, connection: asyncpg.Connection) -> None:
        while True:
            if await connection.fetchval(_LOCK, f"relay:{self._service}"):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _listen(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(relay_channel(self._service), lambda *_: self._wake.set())
        connection.add_termination_listener(lambda _: self._wake.set())

    async def _publish_until_refused(self, connection: asyncpg.Connection) -> None:
        """Publish with one producer until it meets an error; then it is thrown away."""
        gauges_due = 0.0
        async with Publisher.connected(
            bootstrap_servers=self._bootstrap_servers,
            topic_prefix=self._topic_prefix,
            client_id=f"{self._service}-relay",
        ) as publisher:
            while True:
                self._wake.clear()
                rows = await self._read(connection)
                if rows:
                    published = await publisher.publish(rows)
                    await self._settle(connection, published)
                if time.monotonic() >= gauges_due:
                    gauges_due = time.monotonic() + _GAUGE_SECONDS
                    await self._measure(connection)
                if len(rows) < self._batch_rows:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)

    async def _read(self, connection: asyncpg.Connection) -> list[OutboxRow]:
        records = await connection.fetch(_READ, self._batch_rows)
        return [row_of(record, json.loads(record["headers"])) for record in records]

    async def _settle(self, connection: asyncpg.Connection, published: Published) -> None:
        if published.acknowledged:
            await connection.execute(_DELETE, [row.seq for row in published.acknowledged])
            self._failures = 0
            now = datetime.now(UTC)
            for row in published.acknowledged:
                self._metrics.published.labels(row.topic).inc()
                self._metrics.latency.observe((now - row.created_at).total_seconds())
        if published.error is not None:
            self._metrics.errors.inc()
            raise PublishError from published.error

    async def _measure(self, connection: asyncpg.Connection) -> None:
        backlog = await connection.fetchrow(_BACKLOG)
        if backlog is not None:
            self._metrics.backlog.set(backlog["rows"])
            self._metrics.oldest.set(backlog["age"])

    async def _back_off(self) -> None:
        delay = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        await asyncio.sleep(delay)


class PublishError(Exception):
    """A batch was refused; the cause says why. Its rows stay in the outbox."""

    def __str__(self) -> str:
        return f"a batch was not acknowledged, its rows stay in the outbox: {self.__cause__}"
