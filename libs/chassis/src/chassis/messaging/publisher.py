"""Publishes rows of the outbox to Kafka, in order for each partition, one batch in flight each.

Batches are built here rather than by the producer: after a refused batch a producer that had more
queued would send the later ones all the same, and events of one key would be inverted.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from opentelemetry import trace

from chassis.telemetry.tracing import context_from, trace_headers_of

_BATCH_BYTES = 1_000_000  # below the broker's message.max.bytes (1,048,588)
_REQUEST_TIMEOUT_MS = 10_000

tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One event that waits to be published."""

    seq: int
    topic: str
    key: str
    headers: Mapping[str, str]
    payload: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What came of one attempt: the rows that Kafka acknowledged, and the first error."""

    acknowledged: Sequence[OutboxRow]
    error: Exception | None


class RowTooLargeError(ValueError):
    """A row that no batch can hold; it blocks what follows it in its partition."""


class Publisher:
    """One idempotent producer; after an error it is thrown away, as its sequence may be broken."""

    def __init__(self, producer: AIOKafkaProducer, *, topic_prefix: str) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix
        self._partitioner = DefaultPartitioner()

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, *, bootstrap_servers: str, topic_prefix: str, client_id: str
    ) -> AsyncIterator["Publisher"]:
        """Connect a producer; KafkaError where no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id=client_id,
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            await producer.start()
            yield cls(producer, topic_prefix=topic_prefix)
        finally:
            await producer.stop()

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        """Send `rows`, which are in order, and wait for the acknowledgements.

        A partition stops at its first error; other partitions go on.
        """
        partitions: dict[tuple[str, int], list[OutboxRow]] = {}
        try:
            for row in rows:
                topic = self._topic_prefix + row.topic
                place = (topic, await self._partition(topic, row.key))
                partitions.setdefault(place, []).append(row)
        except Exception as error:  # noqa: BLE001 - handed to the relay, which decides
            return Published(acknowledged=(), error=error)
        results = await asyncio.gather(
            *(self._send_in_order(*place, part) for place, part in partitions.items())
        )
        return Published(
            acknowledged=[row for result in results for row in result.acknowledged],
            error=next((result.error for result in results if result.error), None),
        )

    async def _partition(self, topic: str, key: str) -> int:
        partitions = sorted(await self._producer.partitions_for(topic))
        return int(self._partitioner(key.encode(), partitions, partitions))

    async def _send_in_order(
        self, topic: str, partition: int, rows: Sequence[OutboxRow]
    ) -> Published:
        acknowledged: list[OutboxRow] = []
        try:
            while len(acknowledged) < len(rows):
                acknowledged += await self._send_batch(topic, partition, rows[len(acknowledged) :])
        except Exception as error:  # noqa: BLE001 - handed to the relay, which decides
            return Published(acknowledged=acknowledged, error=error)
        return Published(acknowledged=acknowledged, error=None)

    async def _send_batch(
        self, topic: str, partition: int, rows: Sequence[OutboxRow]
    ) -> Sequence[OutboxRow]:
        batch = self._producer.create_batch()
        spans: list[trace.Span] = []
        try:
            for row in rows:
                span = _publish_span(row)
                headers = {**row.headers, **trace_headers_of(span)}
                added = batch.append(
                    timestamp=None,
                    key=row.key.encode(),
                    value=row.payload,
                    headers=[(name, value.encode()) for name, value in headers.items()],
                )
                if added is None:
                    break
                spans.append(span)
            if not spans:
                message = (
                    f"outbox row {rows[0].seq} for {topic} is too large for a batch of "
                    f"{_BATCH_BYTES} bytes: it and the rows behind it wait"
                )
                raise RowTooLargeError(message)
            batch.close()
            await (await self._producer.send_batch(batch, topic, partition=partition))
        finally:
            for span in spans:
                span.end()
        return rows[: len(spans)]


def _publish_span(row: OutboxRow) -> trace.Span:
    return tracer.start_span(
        f"{row.topic} publish",
        context=context_from(row.headers),
        kind=trace.SpanKind.PRODUCER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.destination.name": row.topic,
            "messaging.message.id": row.headers.get("ce_id", ""),
        },
    )


def row_of(record: asyncpg.Record, headers: Mapping[str, str]) -> OutboxRow:
    """Read a row of the outbox table, whose `headers` were parsed already."""
    return OutboxRow(
        seq=record["seq"],
        topic=record["topic"],
        key=record["key"],
        headers=headers,
        payload=record["payload"],
        created_at=record["created_at"],
    )
