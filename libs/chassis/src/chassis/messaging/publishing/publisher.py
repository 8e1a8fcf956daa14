"""Publishes rows of the outbox to Kafka, in order for each partition, one batch in flight each.

Batches are built here rather than by the producer: after a refused batch a producer that had more
queued would send the later ones all the same, and events of one key would be inverted.
"""

import asyncio
import contextlib
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
from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry import trace
from pydantic_core import from_json

from chassis.messaging.clients import start, to_the_end
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.publishing.partitioner import hash_of_key
from chassis.messaging.publishing.unsent import OutboxRow
from chassis.messaging.spans import batch_span, message_span
from chassis.telemetry.tracing import trace_headers_of

_BATCH_BYTES = 1_000_000  # below the broker's message.max.bytes (1,048,588)
_REQUEST_TIMEOUT_MS = 10_000
_METADATA_SECONDS = 1.0  # a topic that is unknown for longer is treated as missing
_CLOSE_SECONDS = 2.0
UNKNOWN_PARTITION = -1  # of a topic that Kafka does not know

type Place = tuple[str, int]
"""A topic and a partition; events of one key are in one place."""


class UnknownTopicError(LookupError):
    """A topic that Kafka does not know, or has not told of in time."""


class UnsendableRowError(ValueError):
    """A row that is no message; it was not written by the outbox of this library."""


_OF_CONTENT = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsendableRowError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A batch that Kafka did not acknowledge: where, its first row, how many it held, and why."""

    place: Place
    row: OutboxRow
    rows: int
    error: Exception

    @property
    def of_the_row(self) -> bool:
        """Whether this very row can't be sent, and others of the place may."""
        return self.rows == 1 and isinstance(self.error, _OF_CONTENT)

    @property
    def of_the_batch(self) -> bool:
        """Whether something in the batch can't be sent, and smaller ones find what."""
        return self.rows > 1 and isinstance(self.error, _OF_CONTENT)


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


class Publisher:
    """One idempotent producer; after an error it is thrown away, as its sequence may be broken."""

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
        """Connect a producer; KafkaError where no broker answers.

        Args:
            kafka: where Kafka is.
            client_id: as the broker's logs show it.
            acknowledge_seconds: how long what is published at a time may take; an idempotent
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
            await start(producer)
            yield publisher
        finally:
            await to_the_end(publisher._close())

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
        limits: Mapping[Place, int] | None = None,
    ) -> Published:
        """Send `rows`, which are in order, and wait for the acknowledgements.

        A partition stops at its first error; other partitions go on.

        Args:
            rows: what to send.
            waiting: places of which nothing is sent.
            limits: how many rows a batch may hold, of places where that is limited.
        """
        first_rows: dict[str, OutboxRow] = {}
        for row in rows:
            first_rows.setdefault(row.topic, row)
        partitions, unknown = await self._partitions(first_rows.values(), waiting)
        places: dict[Place, list[OutboxRow]] = {}
        for row in rows:
            topic = row.topic
            if topic in partitions:
                place = (topic, hash_of_key(row.key) % partitions[topic])
                places.setdefault(place, []).append(row)
        for place in waiting:
            places.pop(place, None)
        limits = limits or {}
        # One for all batches: the rows of the first ones must be deleted before our session ends.
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
        self, first_rows: Collection[OutboxRow], waiting: Collection[Place]
    ) -> tuple[dict[str, int], list[Refused]]:
        """Find how many partitions the topics have, of which the first row is given."""
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
                error = UnknownTopicError(f"{topic} is not known to Kafka: create it ({cause!r})")
                unknown.append(Refused(place=place, row=row, rows=1, error=error))
        return found, unknown

    async def _send_in_order(
        self, place: Place, rows: Sequence[OutboxRow], *, limit: int, deadline: float
    ) -> tuple[Sequence[OutboxRow], Refused | None]:
        sent = 0
        while sent < len(rows):
            part, spans = rows[sent : sent + limit], list[trace.Span]()
            count = 1
            try:
                batch, count = self._build(part, place[1], spans)
                with batch_span(*place, count, spans):
                    await self._send(batch, place, deadline)
            except Exception as error:  # noqa: BLE001 - handed to the relay, which decides
                refused = Refused(place=place, row=rows[sent], rows=count, error=error)
                return rows[:sent], refused
            finally:
                for span in spans:
                    span.end()
            sent += count
        return rows, None

    def _build(
        self, rows: Sequence[OutboxRow], partition: int, spans: list[trace.Span]
    ) -> tuple[BatchBuilder, int]:
        """Fill a batch with as many of `rows` as it takes, at least one; says how many.

        A span tells of each whose trace is recorded.
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
                message = f"the headers of outbox row {row.seq} are no JSON object of strings"
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

    async def _send(self, batch: BatchBuilder, place: Place, deadline: float) -> None:
        topic, partition = place
        self._in_flight += 1
        async with asyncio.timeout_at(deadline):
            await (
                await self._producer.send_batch(
                    batch, self._topic_prefix + topic, partition=partition
                )
            )
        self._in_flight -= 1
