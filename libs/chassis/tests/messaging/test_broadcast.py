"""A topic that each process reads whole: from the past, through outages, and not past its end."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAuthorizationFailedError
from prometheus_client import CollectorRegistry

from chassis.health import Health
from chassis.messaging import KafkaConnection
from chassis.messaging.broadcast import Broadcast, BroadcastMetrics, BroadcastReader
from localservers import KafkaServer
from localservers.ports import free_port
from testkit.waiting import until

from .conftest import running
from .outsiders import delete_before, producer_of, send_undecodable, transaction

TOPIC = "news"
HISTORY = timedelta(minutes=10)


class Reader:
    """A BroadcastReader, and the messages that it took."""

    def __init__(self, kafka, *, history=HISTORY, **options):
        self.health = Health()
        self.health.started()
        self.registry = CollectorRegistry()
        self.taken = []
        self.reader = BroadcastReader(
            broadcast=Broadcast(topic=TOPIC, take=self._take, history=history),
            kafka=kafka,
            metrics=BroadcastMetrics(self.registry),
            health=self.health,
            check_seconds=0.05,
            **options,
        )

    def _take(self, value):
        if value == b"wild":
            message = "wild"
            raise ValueError(message)
        self.taken.append(value)

    @property
    def stale(self):
        return self.registry.get_sample_value("broadcast_stale", {"topic": TOPIC})

    async def until_taken(self, *values):
        async def taken():
            return self.taken == list(values)

        await until(taken)

    async def until_stale(self, value):
        async def stale():
            return self.stale == value

        await until(stale)


@pytest.fixture
async def kafka(topics):
    await topics.create([TOPIC], partitions=1)
    return KafkaConnection(bootstrap_servers=topics.bootstrap_servers, topic_prefix=topics.prefix)


async def send(kafka, *values, age=timedelta()):
    producer = AIOKafkaProducer(**kafka.options)
    await producer.start()
    try:
        for value in values:
            at = round((time.time() - age.total_seconds()) * 1000)
            await producer.send_and_wait(kafka.topic_prefix + TOPIC, value, timestamp_ms=at)
    finally:
        await producer.stop()


async def test_it_begins_in_the_past_and_is_ready_when_it_has_caught_up(kafka):
    await send(kafka, b"too old", age=timedelta(minutes=11))
    await send(kafka, b"1", age=timedelta(minutes=9))
    await send(kafka, b"2")
    one = Reader(kafka, start_seconds=60)
    assert not one.health.ready[0]
    async with running(one.reader.run()):
        await one.reader.caught_up.wait()
        assert one.taken == [b"1", b"2"]
        assert (one.stale, one.health.ready[0]) == (0, True)
        await send(kafka, b"3")
        await one.until_taken(b"1", b"2", b"3")


async def test_every_process_reads_all_of_it(kafka):
    readers = [Reader(kafka), Reader(kafka)]
    async with running(*(one.reader.run() for one in readers)):
        for one in readers:
            await one.reader.caught_up.wait()
        await send(kafka, b"1")
        for one in readers:
            await one.until_taken(b"1")


async def test_where_all_is_too_old_it_begins_at_the_end(kafka):
    await send(kafka, b"too old", age=timedelta(hours=1))
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.reader.caught_up.wait()
        await send(kafka, b"1")
        await one.until_taken(b"1")


async def test_what_can_not_be_read_is_counted_and_holds_nothing_up(kafka):
    await send(kafka, b"wild", b"1")
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.reader.caught_up.wait()
    assert one.taken == [b"1"]
    labels = {"topic": TOPIC, "outcome": "unreadable"}
    assert one.registry.get_sample_value("broadcast_messages_total", labels) == 1


async def test_it_goes_on_where_messages_were_deleted(kafka):
    await send(kafka, b"1", b"2")
    await delete_before(kafka.bootstrap_servers, kafka.topic_prefix + TOPIC, 1)
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.until_taken(b"2")


async def test_it_is_caught_up_where_all_that_it_had_not_read_was_deleted(kafka):
    await send(kafka, b"1")
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.until_taken(b"1")
        await one.until_stale(0)
    await send(kafka, b"2", b"3")
    await delete_before(kafka.bootstrap_servers, kafka.topic_prefix + TOPIC, -1)
    one.reader._fresh_until = 0.0
    async with running(one.reader.run()):
        await one.until_stale(0)
        await send(kafka, b"4")
        await one.until_taken(b"1", b"4")


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_the_end_of_a_transaction_is_nothing_that_it_has_not_read(kafka, end):
    async with transaction(kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(kafka.topic_prefix + TOPIC, b"1")
        if end == "commit":
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.until_stale(0)
    assert one.taken == ([b"1"] if end == "commit" else [])


async def test_a_batch_that_can_not_be_decoded_is_passed_over_and_what_comes_after_is_taken(kafka):
    """A reader that stopped there would miss all later messages; the counter alerts."""
    topic = kafka.topic_prefix + TOPIC
    good: Any = [(b"1", []), (b"2", [])]
    await send_undecodable(kafka.bootstrap_servers, topic, before=good, after=[(b"lost", [])])
    one = Reader(kafka, history=timedelta(seconds=5))
    async with running(one.reader.run()):
        await one.until_taken(b"1", b"2")
        assert one.stale == 1
        await one.reader.caught_up.wait()
        # What was skipped may matter for as long as the history: the reader is stale that long.
        assert one.stale == 1
        await send(kafka, b"3")
        await one.until_taken(b"1", b"2", b"3")
        await one.until_stale(0)
    labels = {"topic": TOPIC, "outcome": "undecodable"}
    assert one.registry.get_sample_value("broadcast_messages_total", labels) == 2


async def test_a_partition_that_is_added_is_read_from_its_start(kafka, topics):
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.reader.caught_up.wait()
        await topics.grow(TOPIC, 2)
        async with producer_of(kafka.bootstrap_servers) as producer:
            await producer.send_and_wait(kafka.topic_prefix + TOPIC, b"new", partition=1)
        await one.until_taken(b"new")
        await one.until_stale(0)


async def test_a_topic_that_kafka_refuses_is_stale_until_it_is_granted(kafka):
    class Refused(BroadcastReader):
        refused = True

        async def _read(self, consumer, partition):
            if self.refused:
                getmany = consumer.getmany

                async def refuse(*arguments, **options):
                    if self.refused:
                        raise TopicAuthorizationFailedError(TOPIC)
                    return await getmany(*arguments, **options)

                consumer.getmany = refuse
            await super()._read(consumer, partition)

    await send(kafka, b"1")
    one = Reader(kafka)
    one.reader.__class__ = Refused
    reader: Any = one.reader
    async with running(reader.run()):

        async def failed():
            return reader._failures.number > 0

        await until(failed)
        assert one.stale == 1
        reader.refused = False
        await one.until_taken(b"1")
        await one.until_stale(0)


async def test_it_is_stale_when_its_last_look_no_longer_holds():
    """If a check hangs, nobody sets the gauge any more; it must not stay at 0."""
    one = Reader(KafkaConnection(bootstrap_servers="127.0.0.1:1"))
    assert one.stale == 1
    one.reader._fresh_until = time.monotonic() + 0.05
    assert one.stale == 0
    await one.until_stale(1)


async def test_a_process_is_ready_at_last_without_kafka_and_says_that_it_is_stale():
    one = Reader(KafkaConnection(bootstrap_servers="127.0.0.1:1"), start_seconds=0.2)
    async with running(one.reader.run()):

        async def ready():
            return one.health.ready[0]

        assert not await ready()
        await until(ready)
        assert one.stale == 1


async def test_a_topic_that_is_made_later_is_found(topics):
    kafka = KafkaConnection(bootstrap_servers=topics.bootstrap_servers, topic_prefix=topics.prefix)
    one = Reader(kafka)
    async with running(one.reader.run()):
        await asyncio.sleep(0.2)  # the reader looks for the topic, and finds none
        await topics.create([TOPIC], partitions=1)
        await one.reader.caught_up.wait()
        await send(kafka, b"1")
        await one.until_taken(b"1")


async def test_it_misses_nothing_when_kafka_comes_back(tmp_path):
    """It may read messages again: a broker that has just started may not know its end yet."""
    server = KafkaServer(directory=tmp_path, port=free_port())
    await server.start()
    kafka = KafkaConnection(bootstrap_servers=server.bootstrap_servers)
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    one = Reader(kafka, answer_seconds=1)
    async with running(one.reader.run()):
        await one.reader.caught_up.wait()
        await send(kafka, b"1")
        await one.until_taken(b"1")
        await server.stop()
        await one.until_stale(1)
        await server.start()
        await send(kafka, b"2")
        await until(lambda: one.taken[-1] == b"2")
        await one.until_stale(0)
    assert one.taken[-2:] == [b"1", b"2"]
    await server.stop()
