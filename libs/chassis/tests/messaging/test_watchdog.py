"""A consumer that falls silent is built anew; one that only waits or works is left alone."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import TopicPartition

from chassis.database import Database
from chassis.health import Health
from chassis.messaging import Consumer
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.consuming.watchdog import StalledError, Watchdog

from .conftest import running, until
from .counting import record

FIRST = TopicPartition("counters", 0)
QUICK: dict[str, Any] = {"interval_seconds": 0.1, "patience_seconds": 0.6}


class Silent(PartitionConsumer[Any]):
    """A client that never gives what Kafka has, and doesn't say so."""

    async def run(self):
        await self._take_position()
        await asyncio.Event().wait()


class SilentAtFirst(Consumer):
    """A consumer that gets on only once it was built so many times."""

    builds = 0
    silent_builds = 1

    def _client(self):
        self.builds += 1
        return super()._client()

    def _partition(self, consumer, partition):
        one = super()._partition(consumer, partition)
        if self.builds <= self.silent_builds:
            one.__class__ = Silent
        return one


class AlwaysSilent(SilentAtFirst):
    silent_builds = 1000


def rebuilt(service):
    return service.metrics.rebuilt._value.get()


async def test_a_consumer_that_hangs_is_built_anew_and_goes_on(service):
    health = Health()
    await service.raise_counters("a", "a")
    consumer = service.consumer(
        kind=SilentAtFirst, health=health, watchdog=service.watchdog(health, **QUICK)
    )
    async with running(service.relay().run(), consumer.run()):
        await service.until_effects()
    assert await service.effects() == [("a", 1), ("a", 2)]
    assert (rebuilt(service), health.live) == (1, (True, "ok"))


async def test_where_a_new_consumer_hangs_as_well_the_process_is_no_longer_live(service):
    health = Health()
    await service.raise_counters("a")
    consumer = service.consumer(
        kind=AlwaysSilent, health=health, watchdog=service.watchdog(health, **QUICK)
    )

    async def dead():
        return not health.live[0]

    async with running(service.relay().run(), consumer.run()):
        await until(dead)
    assert "makes no progress" in health.live[1]
    assert rebuilt(service) == 2


async def test_a_handler_within_its_time_limit_is_progress(service):
    health = Health()
    release = asyncio.Event()

    async def take_long(event, delivery):
        await release.wait()
        await record(event, delivery)

    await service.raise_counters("a")
    watchdog = Seen(service.watchdog(health, **QUICK))
    consumer = service.consumer(take_long, health=health, watchdog=watchdog)
    async with running(service.relay().run(), consumer.run()):
        await watchdog.looks(20)
        release.set()
        await service.until_effects()
    assert rebuilt(service) == 0


class Seen:
    """A watchdog that says how often it looked."""

    def __init__(self, watchdog):
        self._watchdog = watchdog
        self._looks = 0
        self._looked = asyncio.Condition()
        look = watchdog._look

        async def counted(*arguments):
            await look(*arguments)
            async with self._looked:
                self._looks += 1
                self._looked.notify_all()

        watchdog._look = counted

    async def run(self, assignment):
        await self._watchdog.run(assignment)

    async def looks(self, number):
        async with self._looked:
            await self._looked.wait_for(lambda: self._looks >= number)


class FakePartition:
    """A partition that stands still, behind its end."""

    def __init__(self, partition, position=3):
        self.partition = partition
        self.position = position
        self.working = False
        self.last_sent_at = 0.0


class FakeAssignment(Assignment):
    def __init__(self, *partitions, known=True):
        tasks: Any = dict.fromkeys(partitions)
        self._tasks = tasks
        self.known = known


class FakeKafka:
    def __init__(self, end=5):
        self.end = end

    async def end_offsets(self, partitions):
        return dict.fromkeys(partitions, self.end)

    async def topics(self):
        return set()


class FakeDatabase(Database):
    """A database that answers, or not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    @asynccontextmanager
    async def reading(self):
        if self.error is not None:
            raise self.error
        yield self

    async def execute(self, _):
        return None


def impatient(service, *, database=None):
    return Watchdog(
        kafka=service.kafka,
        database=database or FakeDatabase(),
        metrics=service.metrics,
        health=Health(),
        patience_seconds=0,
    )


@pytest.fixture
def place():
    return FakePartition(FIRST)


async def look_twice(watchdog, *partitions, end=5, known=True):
    for _ in range(2):
        await watchdog._look(FakeKafka(end), FakeAssignment(*partitions, known=known), 0.0)


async def test_lag_without_progress_is_a_stall(offline, place):
    with pytest.raises(StalledError, match="counters/0 at 3 of 5"):
        await look_twice(impatient(offline), place)


async def test_a_partition_at_its_end_may_stand_still(offline, place):
    await look_twice(impatient(offline), place, end=3)


async def test_while_postgresql_does_not_answer_nothing_counts(offline, place):
    database = FakeDatabase(ConnectionRefusedError())
    watchdog = impatient(offline, database=database)
    await look_twice(watchdog, place)
    database.error = None
    with pytest.raises(StalledError):
        await look_twice(watchdog, place)


async def test_a_member_that_the_group_never_answers_is_a_stall(offline):
    with pytest.raises(StalledError, match="the group gave no partitions"):
        await look_twice(impatient(offline), known=False)


async def test_while_kafka_does_not_answer_nothing_counts(offline):
    """Its own client can't connect: the consumer's silence is no fault of its own."""
    watchdog = Watchdog(
        kafka=replace(offline.kafka, bootstrap_servers="127.0.0.1:1"),
        database=FakeDatabase(),
        metrics=offline.metrics,
        health=Health(),
        interval_seconds=0.05,
        patience_seconds=0,
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await watchdog.run(FakeAssignment(known=False))


async def test_lag_is_told_in_messages_and_in_seconds(offline, place):
    other = FakePartition(TopicPartition("counters", 1), position=5)
    watchdog = Watchdog(
        kafka=offline.kafka,
        database=FakeDatabase(),
        metrics=offline.metrics,
        health=Health(),
    )
    await watchdog._look(FakeKafka(), FakeAssignment(place, other), 0.0)
    lag, seconds = offline.metrics.lag, offline.metrics.lag_seconds
    assert lag.labels("counters")._value.get() == 2
    assert seconds.labels("counters")._value.get() > 1_000_000_000  # since the epoch
    place.position = 5
    await watchdog._look(FakeKafka(), FakeAssignment(place, other), 0.0)
    assert lag.labels("counters")._value.get() == 0
    assert seconds.labels("counters")._value.get() == 0
