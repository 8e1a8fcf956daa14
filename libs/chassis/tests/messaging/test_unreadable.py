"""What can't be read stops its own partition, with an alert; all of Kafka's codecs work."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from chassis.health import Health
from chassis.messaging.consuming.batch import Progress
from chassis.messaging.consuming.offsets import Offsets
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.events import cloud_event_headers
from testkit.logs import own_logs
from testkit.waiting import until

from .conftest import counting_service, running
from .counting import SOURCE, CounterRaised
from .outsiders import delete_before, send_undecodable
from .partitions import keys_of

PLACE = TopicPartition("counters", 0)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"])
async def test_each_codec_that_a_topic_may_have_is_read(database, database_settings, topics, codec):
    """The broker compresses with it, whatever the producer sends."""
    await topics.create(["counters"], settings={"compression.type": codec})
    async with (
        counting_service(database, database_settings, topics) as service,
        running(service.wakeups.run(), service.relay().run(), service.consumer().run()),
    ):
        await service.raise_counters("a", "b", "a", filler="long " * 1000)
        await service.until_effects()
        assert Counter(await service.effects()) == Counter([("a", 1), ("a", 2), ("b", 1)])


def message(counter, number):
    event = CounterRaised(counter=counter, number=number)
    headers = cloud_event_headers(event, event_id=uuid4(), source=SOURCE, trace={})
    return event.to_json(), [(name, value.encode()) for name, value in headers.items()]


async def test_a_batch_that_can_not_be_decoded_stops_only_its_partition_with_an_alert(service):
    [stuck], [free] = keys_of(0, 1), keys_of(1, 1)
    broker, topic = service.topics.bootstrap_servers, service.topics.prefix + "counters"
    name, health = f"{topic}/0", Health()
    health.started()
    bad = await send_undecodable(
        broker, topic, before=[message(stuck, 1), message(stuck, 2)], after=[message(stuck, 3)]
    )
    lag = service.lag(interval_seconds=0.1)

    async def partition_degraded():
        return name in health.degraded

    async def measured(expected):
        return service.sample("consumer_lag_messages", topic=topic) == expected

    def waiting():
        return service.metrics.waiting.labels("undecodable")._value.get()

    with own_logs() as logs:
        async with running(service.relay().run(), service.consumer(health=health).run(), lag.run()):
            await until(partition_degraded)
            await service.raise_counters(free, free, stuck)
            await service.until_effects(4)
            # Messages before it took effect, also those in the same batch; messages after it wait.
            assert Counter(await service.effects()) == Counter(
                [(stuck, 1), (stuck, 2), (free, 1), (free, 2)]
            )
            assert waiting() == 1
            assert health.live == health.ready == (True, "ok")
            await until(lambda: measured(3))
            # An operator deletes the batch.
            await delete_before(broker, topic, bad + 2)
            await service.until_effects(5)
            await until(lambda: measured(0))
            assert (waiting(), health.degraded) == (0, {})
            assert service.metrics.out_of_range.labels(topic)._value.get() == 1
    unreadable = [entry for entry in logs if entry["event"] == "partition unreadable"]
    assert {(entry["log_level"], entry["offset"]) for entry in unreadable} == {("error", bad)}
    assert "can't be decoded" in unreadable[0]["error"]


class FakeConsumer:
    """A client that returns or raises the given values, then returns nothing."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.emptied = asyncio.Event()
        self.committed: list[int] = []

    async def getmany(self, partition, **_):
        if not self.given:
            self.emptied.set()
            await asyncio.Event().wait()
        found = self.given.pop(0)
        if isinstance(found, Exception):
            raise found
        return {partition: found} if found else {}

    async def position(self, _):
        return 0

    async def commit(self, offsets):
        self.committed += offsets.values()


def consuming(offline, consumer, health, runner=None):
    return PartitionConsumer(
        consumer=consumer,
        offsets=Offsets(consumer=consumer, every=0, limit=30),
        partition=PLACE,
        runner=runner or offline.runner(),
        metrics=offline.metrics,
        health=health,
        batch_messages=10,
    )


async def test_a_topic_that_is_refused_waits_until_it_is_granted(offline):
    health, refused = Health(), TopicAuthorizationFailedError("counters")
    consumer = FakeConsumer(refused, refused)
    one = consuming(offline, consumer, health)
    async with running(one.run()):
        await consumer.emptied.wait()
        assert "denies this user the topic counters" in health.degraded["counters/0"]
        assert one.unreadable
        assert offline.metrics.waiting.labels("refused")._value.get() == 1
    # The partition is no longer ours: its next owner shows its state.
    assert health.degraded == {}
    assert offline.metrics.waiting.labels("refused")._value.get() == 0
    consumer = FakeConsumer(refused, None)
    one = consuming(offline, consumer, health)
    async with running(one.run()):
        await consumer.emptied.wait()
        assert (one.unreadable, health.degraded) == (False, {})
        assert offline.metrics.waiting.labels("refused")._value.get() == 0


class FailsTwice:
    """A runner that raises two infrastructure errors first."""

    def __init__(self, offline):
        self.offline = offline
        self.seen = []

    async def run(self, records, **_):
        self.seen.append(self.offline.metrics.waiting.labels("infrastructure")._value.get())
        if len(self.seen) <= 2:
            return Progress(0, ConnectionResetError())
        return Progress(len(records))


async def test_a_partition_that_waits_is_shown_while_it_tries_as_well(offline):
    """An alert on it must not end with each attempt."""
    runner: Any = FailsTwice(offline)

    class Record:
        topic, partition, offset = "counters", 0, 0

    class Consumer(FakeConsumer):
        def seek(self, *_):
            pass

    consumer = Consumer([Record()], [Record()], [Record()])
    async with running(consuming(offline, consumer, Health(), runner).run()):
        await consumer.emptied.wait()
        assert runner.seen == [0, 1, 1]
        assert offline.metrics.waiting.labels("infrastructure")._value.get() == 0
