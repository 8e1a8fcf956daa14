"""Errors of one partition are distinguished from errors of the client."""

import zlib

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from chassis.messaging.fetching import (
    PartitionFetcher,
    RefusedPartitionError,
    UndecodableBatchError,
)

PLACE = TopicPartition("counters", 2)


class FakeConsumer:
    """Has messages 0 to 9; decoding `bad` fails, and drops what was decoded before it."""

    def __init__(self, error: Exception, bad: int = 0) -> None:
        self.error = error
        self.bad: int | None = bad
        self.position = 0
        self.asked: list[int] = []

    async def getmany(self, partition, *, timeout_ms, max_records):
        assert (partition, timeout_ms) == (PLACE, 7)
        self.asked.append(max_records)
        found = list(range(self.position, min(10, self.position + max_records)))
        if self.bad in found:
            raise self.error
        self.position += len(found)
        return {partition: found} if found else {}


@pytest.mark.parametrize(
    "error",
    [
        UnsupportedCodecError("Libraries for lz4 compression codec not found"),
        CorruptRecordException("Invalid CRC"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        cramjam.DecompressionError("bad frame"),
        zlib.error("bad block"),
        EOFError("Compressed file ended"),
        OSError("Not a gzipped file"),
        MemoryError(),
    ],
)
async def test_any_error_of_the_decoder_counts_as_an_error_of_the_batch(error):
    fetcher = PartitionFetcher(consumer=FakeConsumer(error), partition=PLACE)
    with pytest.raises(UndecodableBatchError, match=r"A batch of counters/2 can't be decoded: \w"):
        await fetcher.poll(most=5, timeout_ms=7)


async def test_a_missing_codec_is_named_and_what_was_decoded_is_not():
    error: Exception = UnsupportedCodecError("Libraries for lz4 compression codec not found")
    with pytest.raises(UndecodableBatchError, match="lz4"):
        await PartitionFetcher(consumer=FakeConsumer(error), partition=PLACE).poll(
            most=5, timeout_ms=7
        )
    error = UnicodeDecodeError("utf-8", b"secret", 0, 1, "invalid start byte")
    with pytest.raises(UndecodableBatchError) as raised:
        await PartitionFetcher(consumer=FakeConsumer(error), partition=PLACE).poll(
            most=5, timeout_ms=7
        )
    assert "secret" not in str(raised.value)


async def test_a_topic_that_kafka_refuses_is_an_error_of_the_partition():
    fetcher = PartitionFetcher(
        consumer=FakeConsumer(TopicAuthorizationFailedError("counters")), partition=PLACE
    )
    with pytest.raises(RefusedPartitionError, match="denies this user the topic counters"):
        await fetcher.poll(most=5, timeout_ms=7)


@pytest.mark.parametrize(
    "error",
    [
        ConsumerStoppedError(),
        IllegalStateError("not assigned"),
        KafkaConnectionError("away"),
        GroupAuthorizationFailedError("counters"),
    ],
)
async def test_an_error_of_the_client_is_raised_as_it_is(error):
    fetcher = PartitionFetcher(consumer=FakeConsumer(error), partition=PLACE)
    with pytest.raises(type(error)):
        await fetcher.poll(most=5, timeout_ms=7)


async def test_messages_before_a_bad_one_are_returned_and_then_the_error_each_time():
    consumer = FakeConsumer(CorruptRecordException(), bad=7)
    fetcher = PartitionFetcher(consumer=consumer, partition=PLACE)
    got: list[int] = []
    while len(got) < 7:
        got += await fetcher.poll(most=5, timeout_ms=7)
    assert got == [0, 1, 2, 3, 4, 5, 6]
    for _ in range(3):
        with pytest.raises(UndecodableBatchError):
            await fetcher.poll(most=5, timeout_ms=7)
    assert consumer.position == 7
    # Batches have their full size again after the bad message.
    consumer.bad, consumer.position = None, 0
    for _ in range(5):
        await fetcher.poll(most=5, timeout_ms=7)
    assert consumer.asked[-1] == 5
