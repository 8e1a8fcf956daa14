"""Publishes rows of the outbox to Kafka, in order for each partition, one batch in flight each.

Batches are built here rather than by the producer: after a refused batch a producer that had more
queued would send the later ones all the same, and events of one key would be inverted.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry import trace

from chassis.messaging.connection import KafkaConnection
from chassis.telemetry.tracing import context_from, trace_headers_of

_BATCH_BYTES = 1_000_000  # below the broker's message.max.bytes (1,048,588)
_REQUEST_TIMEOUT_MS = 10_000
_METADATA_SECONDS = 3.0  # a topic that is unknown for longer is treated as missing
_CLOSE_SECONDS = 2.0
UNKNOWN_PARTITION = -1  # of a topic that Kafka does not know

tracer = trace.get_tracer(__name__)

type Place = tuple[str, int]
"""A topic, with its prefix, and a partition; events of one key are in one place."""


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
class Refused:
    """A batch that Kafka did not acknowledge: where, its first row, how many it held, and why."""

    place: Place
    first_seq: int
    rows: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What came of one attempt.

    Attributes:
        acknowledged: the rows that Kafka has for good.
        places: those of which all was acknowledged.
        refused: what stopped the other places.
    """

    acknowledged: Sequence[OutboxRow]
    places: Collection[Place]
    refused: Sequence[Refused]


class UnknownTopicError(LookupError):
    """A topic that Kafka does not know, or has not told of in time."""


class Publisher:
    """One idempotent producer; after an error it is thrown away, as its sequence may be broken."""

    def __init__(
        self, producer: AIOKafkaProducer, *, topic_prefix: str, acknowledge_seconds: float
    ) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix
        self._acknowledge_seconds = acknowledge_seconds
        self._partitioner = DefaultPartitioner()
        self._in_flight = 0

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        *,
        kafka: KafkaConnection,
        client_id: str,
        acknowledge_seconds: float,
    ) -> AsyncIterator["Publisher"]:
        """Connect a producer; KafkaError where no broker answers.

        Args:
            kafka: where Kafka is.
            client_id: as the broker's logs show it.
            acknowledge_seconds: how long a batch may wait for its acknowledgement; an idempotent
                producer of aiokafka would try for ever.
        """
        producer = AIOKafkaProducer(
            **kafka.options,
            client_id=client_id,
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        publisher = cls(
            producer, topic_prefix=kafka.topic_prefix, acknowledge_seconds=acknowledge_seconds
        )
        try:
            await producer.start()
            yield publisher
        finally:
            await publisher._close()

    async def _close(self) -> None:
        """Close the producer; with batches in flight without the flush, which could take for ever.

        aiokafka has no public way to give up what no broker takes.
        """
        if not self._in_flight:
            await self._producer.stop()
            return
        self._producer._closed = True  # noqa: SLF001 - see above
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._producer._sender.close()  # noqa: SLF001 - see above
        await self._producer.client.close()

    async def publish(
        self,
        rows: Sequence[OutboxRow],
        *,
        waiting: Collection[Place] = (),
        singly: Collection[Place] = (),
    ) -> Published:
        """Send `rows`, which are in order, and wait for the acknowledgements.

        A partition stops at its first error; other partitions go on.

        Args:
            rows: what to send.
            waiting: places of which nothing is sent.
            singly: places where each row is a batch of its own.
        """
        topics = {self._topic_prefix + row.topic: row.seq for row in reversed(rows)}
        partitions, unknown = await self._partitions(topics, waiting)
        places: dict[Place, list[OutboxRow]] = {}
        for row in rows:
            topic = self._topic_prefix + row.topic
            if topic in partitions:
                known = partitions[topic]
                place = (topic, int(self._partitioner(row.key.encode(), known, known)))
                if place not in waiting:
                    places.setdefault(place, []).append(row)
        results = await asyncio.gather(
            *(
                self._send_in_order(place, part, singly=place in singly)
                for place, part in places.items()
            )
        )
        return Published(
            acknowledged=[row for acknowledged, _ in results for row in acknowledged],
            places=[place for place, (_, one) in zip(places, results, strict=True) if one is None],
            refused=[*unknown, *(one for _, one in results if one is not None)],
        )

    async def _partitions(
        self, topics: Mapping[str, int], waiting: Collection[Place]
    ) -> tuple[dict[str, list[int]], list[Refused]]:
        """Find the partitions of `topics`, given with the first ``seq`` of each."""
        found: dict[str, list[int]] = {}
        unknown: list[Refused] = []
        for topic, first_seq in topics.items():
            place = (topic, UNKNOWN_PARTITION)
            if place in waiting:
                continue
            try:
                async with asyncio.timeout(_METADATA_SECONDS):
                    found[topic] = sorted(await self._producer.partitions_for(topic))
            except (KafkaError, TimeoutError) as cause:
                error = UnknownTopicError(f"{topic} is not known to Kafka: create it ({cause!r})")
                unknown.append(Refused(place=place, first_seq=first_seq, rows=1, error=error))
        return found, unknown

    async def _send_in_order(
        self, place: Place, rows: Sequence[OutboxRow], *, singly: bool
    ) -> tuple[Sequence[OutboxRow], Refused | None]:
        sent = 0
        while sent < len(rows):
            batch, spans = self._build(rows[sent : sent + 1] if singly else rows[sent:])
            try:
                await self._send(batch, place)
            except Exception as error:  # noqa: BLE001 - handed to the relay, which decides
                refused = Refused(
                    place=place, first_seq=rows[sent].seq, rows=len(spans), error=error
                )
                return rows[:sent], refused
            finally:
                for span in spans:
                    span.end()
            sent += len(spans)
        return rows, None

    def _build(self, rows: Sequence[OutboxRow]) -> tuple[BatchBuilder, Sequence[trace.Span]]:
        """Fill a batch with as many of `rows` as it takes, at least one; a span tells of each."""
        batch = self._producer.create_batch()
        spans: list[trace.Span] = []
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
        batch.close()
        return batch, spans

    async def _send(self, batch: BatchBuilder, place: Place) -> None:
        topic, partition = place
        self._in_flight += 1
        async with asyncio.timeout(self._acknowledge_seconds):
            await (await self._producer.send_batch(batch, topic, partition=partition))
        self._in_flight -= 1


def _publish_span(row: OutboxRow) -> trace.Span:
    return tracer.start_span(
        f"send {row.topic}",
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
