"""Publishes rows of the outbox to Kafka, in order, with one batch in flight for each partition.

Batches are built here, not by the producer. A producer that has more batches queued still sends
them after one was refused, and events of one key would change their order.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from opentelemetry import trace
from pydantic_core import from_json

from chassis.cancellation import closed_by
from chassis.library_internals.aiokafka import BatchBuilder, close_without_flush
from chassis.messaging.clients import start
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.publishing.partitioner import hash_of_key
from chassis.messaging.publishing.unsent import OutboxRow
from chassis.messaging.spans import batch_span, message_span
from chassis.telemetry.tracing import record_error, trace_headers_of

_BATCH_BYTES = 1_000_000  # below the broker's message.max.bytes (1,048,588)
_REQUEST_TIMEOUT_MS = 10_000
_METADATA_SECONDS = 1.0  # a topic that is unknown after this time counts as missing
_CLOSE_SECONDS = 2.0
UNKNOWN_PARTITION = -1  # of a topic that Kafka does not know

type PartitionId = tuple[str, int]
"""A topic and a partition of it. All events of one key are in one partition."""


class UnknownTopicError(LookupError):
    """Kafka does not know the topic, or did not return its metadata in time."""


class UnsendableRowError(ValueError):
    """A row that can't be a Kafka message; the outbox of this library did not write it."""


_OF_CONTENT = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsendableRowError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A batch that Kafka did not acknowledge: its place, first row, number of rows, and error."""

    place: PartitionId
    row: OutboxRow
    rows: int
    error: Exception

    @property
    def of_the_row(self) -> bool:
        """Whether this row alone can't be sent, while others of its place can."""
        return self.rows == 1 and isinstance(self.error, _OF_CONTENT)

    @property
    def of_the_batch(self) -> bool:
        """Whether some row of the batch can't be sent; smaller batches find out which."""
        return self.rows > 1 and isinstance(self.error, _OF_CONTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The result of one attempt.

    Attributes:
        acknowledged: the rows that Kafka has stored.
        places: the places whose rows were all acknowledged.
        refused: for each other place, the batch that stopped it.
    """

    acknowledged: Sequence[OutboxRow]
    places: Collection[PartitionId]
    refused: Sequence[Refused]


class Publisher:
    """One idempotent producer; discard it after an error, as its sequence may be broken."""

    def __init__(
        self, producer: AIOKafkaProducer, *, topic_prefix: str, acknowledge_seconds: float
    ) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix
        self._acknowledge_seconds = acknowledge_seconds
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
        """Connect a producer, or raise KafkaError if no broker responds.

        Args:
            kafka: how to connect to Kafka.
            client_id: the client's name in the broker's logs.
            acknowledge_seconds: how long one call of `publish` may wait for acknowledgements; an
                idempotent producer of aiokafka would retry for ever.
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
        async with closed_by(publisher._close):
            await start(producer)
            yield publisher

    async def _close(self) -> None:
        """Close the producer; skip its flush if batches are in flight, as it may never end."""
        if self._in_flight:
            await close_without_flush(self._producer, seconds=_CLOSE_SECONDS)
        else:
            await self._producer.stop()

    async def publish(
        self,
        rows: Sequence[OutboxRow],
        *,
        waiting: Collection[PartitionId] = (),
        limits: Mapping[PartitionId, int] | None = None,
    ) -> Published:
        """Send `rows`, which are in order, and wait for the acknowledgements.

        A partition stops at its first error; other partitions go on.

        Args:
            rows: the rows to send.
            waiting: the places to which nothing is sent.
            limits: the maximum rows of a batch, for the places that have such a limit.
        """
        first_rows: dict[str, OutboxRow] = {}
        for row in rows:
            first_rows.setdefault(row.topic, row)
        partitions, unknown = await self._partitions(first_rows.values(), waiting)
        places: dict[PartitionId, list[OutboxRow]] = {}
        for row in rows:
            topic = row.topic
            if topic in partitions:
                place = (topic, hash_of_key(row.key) % partitions[topic])
                places.setdefault(place, []).append(row)
        for place in waiting:
            places.pop(place, None)
        limits = limits or {}
        # One deadline for all batches: the relay must delete the rows of the first ones before
        # idle_session_timeout ends its session.
        deadline = asyncio.get_running_loop().time() + self._acknowledge_seconds
        results = await asyncio.gather(
            *(
                self._send_in_order(
                    place, part, limit=limits.get(place, len(part)), deadline=deadline
                )
                for place, part in places.items()
            )
        )
        return Published(
            acknowledged=[row for acknowledged, _ in results for row in acknowledged],
            places=[place for place, (_, one) in zip(places, results, strict=True) if one is None],
            refused=[*unknown, *(one for _, one in results if one is not None)],
        )

    async def _partitions(
        self, first_rows: Collection[OutboxRow], waiting: Collection[PartitionId]
    ) -> tuple[dict[str, int], list[Refused]]:
        """Return each topic's number of partitions, and a refusal for each topic without any."""
        found: dict[str, int] = {}
        unknown: list[Refused] = []
        for row in first_rows:
            place = (row.topic, UNKNOWN_PARTITION)
            if place in waiting:
                continue
            topic = self._topic_prefix + row.topic
            try:
                async with asyncio.timeout(_METADATA_SECONDS):
                    found[row.topic] = len(await self._producer.partitions_for(topic))
            except (KafkaError, TimeoutError) as cause:
                error = UnknownTopicError(f"Kafka has no topic {topic} ({cause!r}). Create it.")
                unknown.append(Refused(place=place, row=row, rows=1, error=error))
        return found, unknown

    async def _send_in_order(
        self, place: PartitionId, rows: Sequence[OutboxRow], *, limit: int, deadline: float
    ) -> tuple[Sequence[OutboxRow], Refused | None]:
        sent = 0
        while sent < len(rows):
            part, spans = rows[sent : sent + limit], list[trace.Span]()
            count = 1
            try:
                batch, count = self._build(part, place[1], spans)
                with batch_span(*place, count, spans):
                    await self._send(batch, place, deadline)
            except BaseException as error:
                for span in spans:
                    record_error(span, error)
                if not isinstance(error, Exception):
                    raise
                refused = Refused(place=place, row=rows[sent], rows=count, error=error)
                return rows[:sent], refused  # to the relay, which decides
            finally:
                for span in spans:
                    span.end()
            sent += count
        return rows, None

    def _build(
        self, rows: Sequence[OutboxRow], partition: int, spans: list[trace.Span]
    ) -> tuple[BatchBuilder, int]:
        """Return a batch of the first rows that fit in, at least one, and their number.

        Add a span to `spans` for each row whose trace is recorded.
        """
        batch = self._producer.create_batch()
        count = 0
        for row in rows:
            try:
                headers = from_json(row.headers)
                encoded = [(name, value.encode()) for name, value in headers.items()]
            except (AttributeError, ValueError) as cause:
                if count:
                    break
                message = (
                    f"The headers of the outbox row {row.seq} are not a JSON object of strings. "
                    "Correct the row, or delete it."
                )
                raise UnsendableRowError(message) from cause
            span = message_span(row.topic, row.key, partition, headers)
            if span is not None:
                headers = {**headers, **trace_headers_of(span)}
                encoded = [(name, value.encode()) for name, value in headers.items()]
            added = batch.append(
                timestamp=None, key=row.key.encode(), value=row.payload, headers=encoded
            )
            if added is None:
                break
            count += 1
            if span is not None:
                spans.append(span)
        batch.close()
        return batch, count

    async def _send(self, batch: BatchBuilder, place: PartitionId, deadline: float) -> None:
        topic, partition = place
        self._in_flight += 1
        async with asyncio.timeout_at(deadline):
            await (
                await self._producer.send_batch(
                    batch, self._topic_prefix + topic, partition=partition
                )
            )
        self._in_flight -= 1
