"""A topic that each process reads whole: from the past, through outages, and not past its end."""

import asyncio
import time
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from chassis.health import Health
from chassis.messaging import KafkaConnection
from chassis.messaging.broadcast import Feed, FeedMetrics, FeedReader
from chassis.servers import KafkaServer
from chassis.servers.base import free_port

from .conftest import running, until

TOPIC = "news"
HISTORY = timedelta(minutes=10)


class Reader:
    """A reader, and what it took."""

    def __init__(self, kafka, **options):
        self.health = Health()
        self.health.started()
        self.registry = CollectorRegistry()
        self.taken = []
        self.reader = FeedReader(
            feed=Feed(topic=TOPIC, take=self._take, history=HISTORY),
            kafka=kafka,
            metrics=FeedMetrics(self.registry),
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
        return self.registry.get_sample_value("feed_stale", {"topic": TOPIC})

    async def until_taken(self, *values):
        async def there():
            return self.taken == list(values)

        await until(there)

    async def until_stale(self, value):
        async def so():
            return self.stale == value

        await until(so)


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
    assert one.registry.get_sample_value("feed_messages_total", labels) == 1


async def test_it_goes_on_where_messages_were_deleted(kafka):
    await send(kafka, b"1", b"2")
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    try:
        partition = TopicPartition(kafka.topic_prefix + TOPIC, 0)
        await admin.delete_records({partition: RecordsToDelete(before_offset=1)})
    finally:
        await admin.close()
    one = Reader(kafka)
    async with running(one.reader.run()):
        await one.until_taken(b"2")


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
        await asyncio.sleep(0.2)  # it looks, and finds none
        await topics.create([TOPIC], partitions=1)
        await one.reader.caught_up.wait()
        await send(kafka, b"1")
        await one.until_taken(b"1")


async def test_it_goes_on_from_where_it_was_when_kafka_comes_back(tmp_path):
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
        await one.until_taken(b"1", b"2")
        await one.until_stale(0)
    await server.stop()
