"""Lag is measured as the consumer reads, by a separate client; it is 0 if nothing is left."""

from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from chassis.health import Health
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.lag import GroupLag, Standing, WaitingTime
from chassis.messaging.events import cloud_event_headers
from chassis.messaging.metrics import ConsumerMetrics
from testkit.waiting import until

from .conftest import running
from .counting import SOURCE, CounterRaised
from .outsiders import delete_before, producer_of, transaction
from .test_consumer import committed
from .test_watchdog import QUICK, Seen, rebuilt


def standing(*, start=0, end=10, committed=None, at=0.0):
    return Standing(start=start, end=end, committed=committed, measured_at=at)


@pytest.mark.parametrize(
    ("one", "lag"),
    [
        (standing(), 10),
        (standing(start=4), 6),
        (standing(committed=7), 3),
        (standing(committed=10), 0),
        (standing(start=8, committed=7), 2),  # what it had not read was deleted
        (standing(start=10, committed=7), 0),
        (standing(start=0, end=5, committed=7), 5),  # the topic was deleted and created again
        (standing(start=3, end=3), 0),
    ],
)
def test_the_lag_begins_where_the_consumer_will(one, lag):
    assert one.lag == lag


def test_the_time_is_that_of_the_oldest_message_that_waits():
    waiting = WaitingTime()
    assert waiting.seconds(standing(end=10, committed=10, at=100)) == 0
    assert waiting.seconds(standing(end=12, committed=10, at=105)) == 0
    assert waiting.seconds(standing(end=20, committed=10, at=110)) == 5
    assert waiting.seconds(standing(end=20, committed=11, at=115)) == 10
    assert waiting.seconds(standing(end=20, committed=12, at=120)) == 10  # first seen at 110
    assert waiting.seconds(standing(end=20, committed=20, at=125)) == 0
    # The next message of a quiet topic has not waited since the last one.
    assert waiting.seconds(standing(end=21, committed=20, at=9000)) == 0


def test_a_topic_that_is_created_again_does_not_keep_the_old_time():
    waiting = WaitingTime()
    waiting.seconds(standing(end=100, committed=50, at=0))
    assert waiting.seconds(standing(end=3, committed=50, at=100)) == 0


def test_the_time_of_a_long_stop_is_kept_in_little_memory():
    waiting = WaitingTime()
    seconds = 0.0
    for second in range(5000):
        seconds = waiting.seconds(standing(end=11 + second, committed=10, at=second))
    assert seconds == 4999
    assert len(waiting._ends) <= 1000


async def test_a_transaction_that_is_left_open_is_no_lag_and_no_stall(service):
    """Nobody may read what is behind it, so the consumer waits and is healthy."""
    health, topic = Health(), service.topics.prefix + "counters"
    lag = service.lag(interval_seconds=0.1)
    watchdog = Seen(service.watchdog(health, lag=lag, **QUICK))
    event = CounterRaised(counter="a", number=1)
    headers = cloud_event_headers(event, event_id=uuid4(), source=SOURCE, trace={})

    async def measured():
        return service.sample("consumer_lag_messages", topic=topic) == 0

    async with transaction(service.topics.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"{}", partition=0)
        await service.send(event.to_json(), headers=headers)
        consumer = service.consumer(health=health, watchdog=watchdog)
        async with running(consumer.run(), lag.run()):
            await watchdog.looks(20)
            await until(measured)
        assert (rebuilt(service), health.live) == (0, (True, "ok"))
        assert await service.effects() == []
        await producer.abort_transaction()
        async with running(service.consumer().run(), lag.run()):
            await service.until_effects(1)
            await until(measured)
    assert await service.effects() == [("a", 1)]


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_the_end_of_a_transaction_is_no_message_that_is_left(service, end):
    """A consumer never receives the transaction's marker, although it has an offset."""
    topic = service.topics.prefix + "counters"
    lag = service.lag(interval_seconds=0.1)

    async def all_committed():
        return await committed(service) == 2

    async def measured():
        return service.sample("consumer_lag_messages", topic=topic) == 0

    async with running(service.consumer().run(), lag.run()):
        async with transaction(service.topics.bootstrap_servers) as producer:
            await producer.send_and_wait(topic, None, key=b"tombstone", partition=0)
            if end == "commit":
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()
        await until(all_committed)
        await until(measured)
    assert service.metrics.out_of_range.labels(topic)._value.get() == 0


async def test_lag_is_measured_without_a_consumer_and_from_what_kafka_still_has(service):
    topic = service.topics.prefix + "counters"
    lag = service.lag(interval_seconds=0.05)

    async def measured(expected):
        return service.sample("consumer_lag_messages", topic=topic) == expected

    assert await measured(None)
    async with running(lag.run()):
        await until(lambda: measured(0))
        await service.send(*[b"{}"] * 5, headers={"foreign": "yes"}, partition=2)
        await until(lambda: measured(5))
        assert lag.complete
        await delete_before(service.topics.bootstrap_servers, topic, 3, partition=2)
        await until(lambda: measured(2))
        await delete_before(service.topics.bootstrap_servers, topic, -1, partition=2)
        await until(lambda: measured(0))
        assert lag.standings()[TopicPartition(topic, 2)].start == 5


async def test_a_consumer_whose_unread_messages_were_deleted_goes_on_and_reports_it(service):
    topic, health = service.topics.prefix + "counters", Health()
    event = CounterRaised(counter="a", number=1)
    headers = cloud_event_headers(event, event_id=uuid4(), source=SOURCE, trace={})

    async def all_committed(offset):
        return await committed(service) == offset

    async with running(service.consumer().run()):
        await service.send(event.to_json(), headers=headers)
        await until(lambda: all_committed(1))
    await service.send(b"{}", b"{}", headers={"foreign": "yes"})
    await delete_before(service.topics.bootstrap_servers, topic, -1)
    lag = service.lag(interval_seconds=0.1)
    watchdog = Seen(service.watchdog(health, lag=lag, **QUICK))
    async with running(service.consumer(health=health, watchdog=watchdog).run(), lag.run()):
        await until(lambda: all_committed(3))
        await watchdog.looks(20)
    assert (rebuilt(service), health.live) == (0, (True, "ok"))
    assert service.metrics.out_of_range.labels(topic)._value.get() == 1
    assert service.sample("consumer_lag_messages", topic=topic) == 0


async def test_one_topic_that_can_not_be_measured_hides_no_other(topics):
    await topics.create(["there"])
    registry = CollectorRegistry()
    there, missing = topics.prefix + "there", topics.prefix + "missing"
    lag = GroupLag(
        kafka=KafkaConnection(bootstrap_servers=topics.bootstrap_servers),
        group=topics.prefix + "group",
        topics=[there, missing],
        metrics=ConsumerMetrics(registry),
        interval_seconds=0.05,
    )

    def sample(name, topic):
        return registry.get_sample_value(name, {"topic": topic})

    async def measured():
        return sample("consumer_lag_messages", there) is not None

    async with running(lag.run()):
        await until(measured)
        assert sample("consumer_lag_messages", missing) is None
        assert sample("consumer_lag_measured_timestamp_seconds", missing) == 0
        assert not lag.complete
        await topics.create(["missing"])

        async def complete():
            return lag.complete

        await until(complete)


async def test_partitions_that_are_added_are_measured(topics):
    await topics.create(["growing"], partitions=1)
    registry, topic = CollectorRegistry(), topics.prefix + "growing"
    lag = GroupLag(
        kafka=KafkaConnection(bootstrap_servers=topics.bootstrap_servers),
        group=topics.prefix + "group",
        topics=[topic],
        metrics=ConsumerMetrics(registry),
        interval_seconds=0.05,
    )

    async def measured(expected):
        return registry.get_sample_value("consumer_lag_messages", {"topic": topic}) == expected

    async with running(lag.run()):
        await until(lambda: measured(0))
        await topics.grow("growing", 2)
        async with producer_of(topics.bootstrap_servers) as producer:
            await producer.send_and_wait(topic, b"{}", partition=1)
        await until(lambda: measured(1))
