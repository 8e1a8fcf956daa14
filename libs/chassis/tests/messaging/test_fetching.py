"""Errors of one partition are distinguished from errors of the client."""

import asyncio
import zlib
from types import SimpleNamespace

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
    Arrivals,
    PartitionFetcher,
    RefusedPartitionError,
    UndecodableBatchError,
)

from .conftest import running

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


class FakeFetcher:
    """The part of aiokafka's fetcher that holds what has arrived."""

    def __init__(self):
        self._records = {}
        self.waiters = []
        self.watched = asyncio.Event()

    def _create_fetch_waiter(self):
        self.waiters.append(asyncio.get_running_loop().create_future())
        self.watched.set()
        return self.waiters[-1]

    def arrive(self, *partitions, error=None):
        self._records |= dict.fromkeys(partitions)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error) if error else waiter.set_result(None)


@pytest.fixture
def arriving():
    consumer = SimpleNamespace(_fetcher=FakeFetcher())
    return consumer._fetcher, Arrivals(consumer)


async def test_only_the_partition_whose_messages_arrived_is_woken(arriving):
    fetcher, arrivals = arriving
    other = TopicPartition("counters", 3)
    async with asyncio.timeout(20), running(arrivals.run()):
        waiting = [asyncio.create_task(arrivals.wait(one, seconds=60)) for one in (PLACE, other)]
        await fetcher.watched.wait()
        await asyncio.sleep(0)  # each task waits
        fetcher.arrive(PLACE)
        await waiting[0]
        assert not waiting[1].done()
        fetcher.arrive(other)
        await waiting[1]


async def test_what_arrived_between_two_waits_is_seen_by_the_second(arriving):
    fetcher, arrivals = arriving
    async with asyncio.timeout(20), running(arrivals.run()):
        await arrivals.wait(PLACE, seconds=0)
        fetcher.arrive(PLACE)  # nobody waits
        await arrivals.wait(PLACE, seconds=60)
        fetcher._records.clear()  # taken
        waiting = asyncio.create_task(arrivals.wait(PLACE, seconds=60))
        await asyncio.sleep(0)
        assert not waiting.done(), "an old wake-up counts for nothing"
        fetcher.arrive(PLACE)
        await waiting


async def test_an_error_of_the_client_wakes_all_partitions_and_the_next_message_one(arriving):
    fetcher, arrivals = arriving
    async with asyncio.timeout(20), running(arrivals.run()):
        waiting = asyncio.create_task(arrivals.wait(PLACE, seconds=60))
        await fetcher.watched.wait()
        await asyncio.sleep(0)  # each task waits
        fetcher.arrive(error=GroupAuthorizationFailedError("counters"))
        await waiting
        waiting = asyncio.create_task(arrivals.wait(PLACE, seconds=60))
        await asyncio.sleep(0)
        fetcher.arrive(PLACE)
        await waiting


async def test_without_a_wake_up_the_wait_ends_in_time(arriving):
    _, arrivals = arriving
    async with asyncio.timeout(20):
        await arrivals.wait(PLACE, seconds=0.01)
