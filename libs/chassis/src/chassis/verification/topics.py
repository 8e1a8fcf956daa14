"""Reads a part of a topic with the principal of the service, and leaves no trace in Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

from chassis.messaging.clients import start, stopping
from chassis.messaging.connection import KafkaConnection
from chassis.verification.pace import Pace

PAGE = 500
_ANSWER_SECONDS = 20.0
_POLL_MS = 1000

type Offsets = Mapping[TopicPartition, int]


class Topics(Protocol):
    """What is read of topics."""

    async def starts(self, topic: str) -> Offsets:
        """Return the oldest offset of each partition."""

    async def ends(self, topic: str) -> Offsets:
        """Return the offset after the newest message of each partition."""

    async def committed(self, topic: str) -> Offsets:
        """Return the committed offset of the service's group in each partition; 0 without one."""

    def read(self, begins: Offsets, ends: Offsets) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Yield the messages from `begins` to before `ends`, a page at a time."""


class TopicReader:
    """Reads topics from one offset to another. It joins no group, and commits nothing.

    Args:
        client: a started client, with the id of the service's group.
        kafka: how to connect, for the prefix of topics.
        pace: how fast to read.
    """

    def __init__(self, client: AIOKafkaConsumer, *, kafka: KafkaConnection, pace: Pace) -> None:
        self._client = client
        self._prefix = kafka.topic_prefix
        self._pace = pace
        self._known: dict[str, list[TopicPartition]] = {}

    async def starts(self, topic: str) -> Offsets:
        """Return the oldest offset of each partition."""
        partitions = await self._partitions(topic)
        async with asyncio.timeout(_ANSWER_SECONDS):
            found: Offsets = await self._client.beginning_offsets(partitions)
        return found

    async def ends(self, topic: str) -> Offsets:
        """Return the offset after the newest message of each partition."""
        partitions = await self._partitions(topic)
        async with asyncio.timeout(_ANSWER_SECONDS):
            found: Offsets = await self._client.end_offsets(partitions)
        return found

    async def committed(self, topic: str) -> Offsets:
        """Return the committed offset of the service's group in each partition; 0 without one."""
        partitions = await self._partitions(topic)
        async with asyncio.timeout(_ANSWER_SECONDS):  # aiokafka would look for brokers for ever
            offsets = [await self._client.committed(one) for one in partitions]
        return {one: offset or 0 for one, offset in zip(partitions, offsets, strict=True)}

    async def read(self, begins: Offsets, ends: Offsets) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Yield the messages from `begins` to before `ends`, a page at a time.

        What retention deletes at the same time is left out.

        Raises:
            aiokafka.errors.KafkaError: a broker refuses a request, or gives nothing for 20 s.
            TimeoutError: a broker does not respond within 20 s.
        """
        left = {one for one, end in ends.items() if begins[one] < end}
        if not left:
            return
        self._client.assign(list(left))
        # Retention may have passed them: such an offset would be out of range.
        async with asyncio.timeout(_ANSWER_SECONDS):
            oldest = await self._client.beginning_offsets(list(left))
        for one in left:
            self._client.seek(one, max(begins[one], oldest[one]))
        known: Offsets = {}
        moved = time.monotonic()
        while unread := await self._unread(left, ends):
            if unread != known:
                known, moved = unread, time.monotonic()
            elif time.monotonic() - moved > _ANSWER_SECONDS:
                # A client that has lost its brokers finds no messages, and raises no error.
                places = ", ".join(
                    f"{one.topic}/{one.partition} at {at}" for one, at in known.items()
                )
                message = f"no messages came for {_ANSWER_SECONDS:g} s, of {places}"
                raise KafkaTimeoutError(message)
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._client.getmany(*unread, timeout_ms=_POLL_MS, max_records=PAGE)
            records = [
                record
                for one, several in found.items()
                for record in several
                if record.offset < ends[one]
            ]
            if records:
                yield records
            await self._pace.read(sum(map(len, found.values())))
        # Not `unsubscribe`: after it, `stop` of aiokafka 0.14 does not return.
        self._client.assign([])

    async def _unread(self, partitions: Iterable[TopicPartition], ends: Offsets) -> Offsets:
        """Return the positions of those partitions that are not at their end."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            return {
                one: at
                for one in partitions
                if (at := await self._client.position(one)) < ends[one]
            }

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions that the topic had when it was first asked for."""
        if topic not in self._known:
            whole = self._prefix + topic
            # This request makes the client load the metadata of a topic that it does not know yet.
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._client.beginning_offsets([TopicPartition(whole, 0)])
            numbers = self._client.partitions_for_topic(whole)
            if not numbers:  # its rows would all seem to lack their events
                message = f"the brokers do not know the topic {whole}"
                raise UnknownTopicOrPartitionError(message)
            self._known[topic] = [TopicPartition(whole, number) for number in sorted(numbers)]
        return self._known[topic]


@asynccontextmanager
async def topic_reader(
    kafka: KafkaConnection, *, service: str, pace: Pace
) -> AsyncIterator[TopicReader]:
    """Connect to Kafka as a service.

    Raises:
        aiokafka.errors.KafkaError: no broker responds, or the broker refuses this client.
    """
    client = AIOKafkaConsumer(
        **kafka.options,
        group_id=kafka.topic_prefix + service,  # only to read the group's committed offsets
        client_id=f"{service}-verification",
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    async with stopping(client):
        async with asyncio.timeout(_ANSWER_SECONDS):
            await start(client)
        yield TopicReader(client, kafka=kafka, pace=pace)
