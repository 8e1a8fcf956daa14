"""Polls each partition separately, so that a bad one does not stop the others.

``getmany`` of aiokafka raises whatever the decoder raised: UnsupportedCodecError or
CorruptRecordException, but also UnicodeDecodeError (a header's name), or an error of gzip or
cramjam. The messages that it had decoded before are dropped, and fetched again.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from chassis.library_internals.aiokafka import fetched_partitions, next_fetch


class PartitionError(Exception):
    """One partition can't be read; the client works, and can read its other partitions."""


class RefusedPartitionError(PartitionError):
    """Kafka does not authorize this user to read the topic."""


class UndecodableBatchError(PartitionError):
    """The message at the client's position, or its batch, can't be decoded."""


@contextlib.contextmanager
def refusals(partition: TopicPartition) -> Iterator[None]:
    """Turn Kafka's refusal of the topic into RefusedPartitionError; let other errors pass."""
    try:
        yield
    except TopicAuthorizationFailedError as error:
        message = (
            f"Kafka denies this user the topic {partition.topic}. Reading it needs Read and "
            "Describe. Grant both."
        )
        raise RefusedPartitionError(message) from error


class Arrivals:
    """Wakes the fetcher of a partition when messages of that partition have arrived.

    A ``getmany`` that waits is woken by the messages of any partition. A member of 15 partitions
    would run 15 tasks for each message, and 14 of them would find nothing.

    Args:
        consumer: a client; `run` begins once it is started.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._waiting: dict[TopicPartition, asyncio.Event] = {}

    async def run(self) -> None:
        """Wake fetchers until cancelled."""
        while True:
            arrived = next_fetch(self._consumer)
            # Look after the future was made: what arrives from now on ends it.
            for partition in fetched_partitions(self._consumer):
                self._wake(partition)
            try:
                await arrived
            except KafkaError:  # each getmany raises it
                for partition in list(self._waiting):
                    self._wake(partition)

    async def wait(self, partition: TopicPartition, *, seconds: float) -> None:
        """Wait until messages of `partition` have arrived, at most for `seconds`.

        A wake-up that is missed costs `seconds`: the caller looks in any case.
        """
        woken = self._waiting.setdefault(partition, asyncio.Event())
        if partition in fetched_partitions(self._consumer):
            return
        woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await woken.wait()

    def _wake(self, partition: TopicPartition) -> None:
        woken = self._waiting.get(partition)
        if woken is not None:
            woken.set()


class PartitionFetcher:
    """Fetches the messages of one partition, including those before an undecodable batch.

    Args:
        consumer: a started client that has the partition assigned.
        partition: the partition to fetch.
        arrivals: wakes this fetcher; without it, the client's own waiting is used.
    """

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._consumer = consumer
        self._partition = partition
        self._arrivals = arrivals
        self._singly = 0  # how many messages are still to be fetched one by one

    async def poll(self, *, most: int, timeout_ms: int) -> Sequence[ConsumerRecord]:
        """Return the next messages, or none after `timeout_ms`.

        Args:
            most: the maximum number of messages.
            timeout_ms: how long to wait for the first message, in milliseconds.

        Raises:
            UndecodableBatchError: what is at the client's position can't be decoded.
            RefusedPartitionError: Kafka does not authorize this user to read the topic.
            aiokafka.errors.KafkaError: any other error of the client or of Kafka.
        """
        if self._arrivals is not None:
            await self._arrivals.wait(self._partition, seconds=timeout_ms / 1000)
            timeout_ms = 0
        try:
            return await self._poll(1 if self._singly else most, timeout_ms)
        except UndecodableBatchError:
            if self._singly or most == 1:
                raise
        self._singly = most  # the bad batch is among the next `most` messages
        return await self._poll(1, timeout_ms)

    async def _poll(self, most: int, timeout_ms: int) -> Sequence[ConsumerRecord]:
        with refusals(self._partition):
            try:
                polled = await self._consumer.getmany(
                    self._partition, timeout_ms=timeout_ms, max_records=most
                )
            except UnsupportedCodecError as error:
                raise self._undecodable(str(error)) from error
            except CorruptRecordException as error:
                raise self._undecodable(type(error).__name__) from error
            except (KafkaError, ConsumerStoppedError):
                raise
            except Exception as error:
                # An error of a decoder. Log only its type, as its text may quote the data.
                raise self._undecodable(type(error).__name__) from error
        if polled:
            self._singly = max(0, self._singly - 1)
        records: Sequence[ConsumerRecord] = polled.get(self._partition, ())
        return records

    def _undecodable(self, cause: str) -> UndecodableBatchError:
        place = f"{self._partition.topic}/{self._partition.partition}"
        return UndecodableBatchError(f"A batch of {place} can't be decoded: {cause}")
