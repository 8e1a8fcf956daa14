"""A consumer that stops reading is rebuilt; one that only waits or works is left alone."""

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError

from chassis.database import Database
from chassis.database.infrastructure import mark_infrastructure
from chassis.health import Health
from chassis.messaging import Consumer
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.lag import Standing
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.consuming.watchdog import StalledError, Watchdog
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE, record

FIRST = TopicPartition("counters", 0)
QUICK: dict[str, Any] = {"interval_seconds": 0.1, "patience_seconds": 0.6}


class Silent(PartitionConsumer[Any]):
    """A client that never returns what Kafka has, and raises nothing."""

    async def run(self):
        await self._take_position()
        await asyncio.Event().wait()


class SilentAtFirst(Consumer):
    """A consumer that makes progress only after it was rebuilt a number of times."""

    builds = 0
    silent_builds = 1

    def _client(self):
        self.builds += 1
        return super()._client()

    def _partition(self, consumer, offsets, partition):
        one = super()._partition(consumer, offsets, partition)
        if self.builds <= self.silent_builds:
            one.__class__ = Silent
        return one


def rebuilt(service):
    return service.metrics.rebuilt._value.get()


async def test_a_consumer_that_hangs_is_rebuilt_and_goes_on(service):
    health = Health()
    await service.raise_counters("a", "a")
    lag = service.lag(interval_seconds=0.1)
    consumer = service.consumer(
        kind=SilentAtFirst, health=health, watchdog=service.watchdog(health, lag=lag, **QUICK)
    )
    async with running(service.relay().run(), consumer.run(), lag.run()):
        await service.until_effects()
    assert await service.effects() == [("a", 1), ("a", 2)]
    assert (rebuilt(service), health.live) == (1, (True, "ok"))


async def test_where_a_new_consumer_hangs_as_well_the_process_is_not_live_until_one_gets_on(
    service,
):
    health = Health()
    await service.raise_counters("a")
    lag = service.lag(interval_seconds=0.1)
    consumer = service.consumer(
        kind=SilentAtFirst, health=health, watchdog=service.watchdog(health, lag=lag, **QUICK)
    )
    consumer.silent_builds = 1000

    async def dead():
        return not health.live[0]

    async def live():
        return health.live == (True, "ok")

    async with running(service.relay().run(), consumer.run(), lag.run()):
        await until(dead)
        assert " progress" in health.live[1]  # the watchdog says it first, or the consumer does
        assert rebuilt(service) >= 2
        consumer.silent_builds = 0
        await service.until_effects()
        await until(live)


class Refused(BatchRunner[Any]):
    """Each run raises an error of Kafka that stops the whole consumer, until it is repaired."""

    refused = True

    async def run(self, records, **options):
        if self.refused:
            message = "the group may not commit"
            raise GroupAuthorizationFailedError(message)
        return await super().run(records, **options)


async def test_a_consumer_that_fails_again_and_again_is_not_live_until_it_gets_on(service):
    health = Health()
    await service.raise_counters("a")
    runner = Refused(
        service=SERVICE,
        database=service.database,
        handling=service.handling(),
        metrics=service.metrics,
    )
    lag = service.lag(interval_seconds=0.1)
    consumer = service.consumer(
        runner=runner, health=health, watchdog=service.watchdog(health, lag=lag, **QUICK)
    )
    topic = service.topics.prefix + "counters"

    async def dead():
        return not health.live[0]

    async def live():
        return health.live == (True, "ok")

    async with running(service.relay().run(), consumer.run(), lag.run()):
        await until(dead)
        assert "GroupAuthorizationFailedError" in health.live[1]
        assert service.sample("consumer_lag_messages", topic=topic) == 1
        runner.refused = False
        await service.until_effects()
        await until(live)


async def test_a_handler_within_its_time_limit_is_progress(service):
    health = Health()
    release = asyncio.Event()

    async def take_long(event, delivery):
        await release.wait()
        await record(event, delivery)

    await service.raise_counters("a")
    lag = service.lag(interval_seconds=0.1)
    watchdog = Seen(service.watchdog(health, lag=lag, **QUICK))
    consumer = service.consumer(take_long, health=health, watchdog=watchdog)
    async with running(service.relay().run(), consumer.run(), lag.run()):
        await watchdog.looks(20)
        release.set()
        await service.until_effects()
    assert rebuilt(service) == 0


class Seen:
    """A watchdog that counts its checks."""

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
    """A partition whose consumer does nothing."""

    def __init__(self, number=0):
        self.partition = TopicPartition("counters", number)
        self.working = False
        self.unreadable = False
        self.moved = False


class FakeAssignment(Assignment):
    def __init__(self, *partitions, known=True):
        tasks: Any = dict.fromkeys(partitions)
        self._tasks = tasks
        self._moved = False
        self.known = known


class FakeLag:
    """The group's positions; each partition lags by two messages."""

    complete = True

    def __init__(self, *partitions):
        self.at: dict[TopicPartition, int] = {one.partition: 3 for one in partitions}
        self.end = 5
        self.now = 0.0

    def standings(self) -> Mapping[TopicPartition, Standing]:
        return {
            place: Standing(start=0, end=self.end, committed=at, measured_at=self.now)
            for place, at in self.at.items()
        }


class FakeDatabase(Database):
    """A database that responds, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    @asynccontextmanager
    async def reading(self):
        if self.error is not None:
            raise self.error
        yield self

    async def fetch(self, _):
        return None


class Watched:
    """A watchdog, with control over its consumer, Kafka and database."""

    def __init__(self, service, *partitions, known=True):
        self.assignment = FakeAssignment(*partitions, known=known)
        self.lag = FakeLag(*partitions)
        self.database = FakeDatabase()
        self.health = Health()
        self.watchdog = Watchdog(
            lag=self.lag,
            database=self.database,
            metrics=service.metrics,
            health=self.health,
            patience_seconds=30,
        )

    async def look(self, *, after=0.0, began=float("inf")):
        self.lag.now += after
        await self.watchdog._look(self.assignment, began)

    async def look_for(self, seconds):
        """Check every five seconds, the first time at once."""
        await self.look()
        for _ in range(round(seconds / 5)):
            await self.look(after=5)


async def test_lag_without_progress_is_a_stall(offline):
    watched = Watched(offline, FakePartition())
    await watched.look_for(25)
    with pytest.raises(StalledError, match="counters/0 at 3 of 5"):
        await watched.look(after=5)
    assert watched.health.live == (True, "ok")


async def test_a_second_stall_fails_liveness_and_progress_restores_it(offline):
    watched = Watched(offline, FakePartition())
    for _ in range(2):
        with pytest.raises(StalledError):
            await watched.look_for(60)
        watched.watchdog._marks.clear()  # as a rebuilt consumer does
    assert "was rebuilt" in watched.health.live[1]
    await watched.look()  # it has not made progress yet
    assert not watched.health.live[0]
    watched.lag.at = {FIRST: 4}
    await watched.look(after=5)
    assert watched.health.live == (True, "ok")


async def test_a_stall_of_one_partition_is_seen_though_another_gets_on(offline):
    watched = Watched(offline, FakePartition(0), FakePartition(1))
    other, stalls = TopicPartition("counters", 1), 0
    watched.lag.end = 1000
    for _ in range(20):
        watched.lag.at[other] += 1
        try:
            await watched.look(after=5)
        except StalledError:
            stalls += 1
            watched.watchdog._marks.clear()
    assert stalls >= 2
    assert not watched.health.live[0]


@pytest.mark.parametrize("reason", ["at its end", "deleted", "working", "moves"])
async def test_no_stall(offline, reason):
    one = FakePartition()
    watched = Watched(offline, one)
    watched.lag.end = {"at its end": 3, "deleted": 0}.get(reason, 1000)
    one.working = reason == "working"
    for _ in range(20):
        if reason == "moves":
            watched.lag.at[FIRST] += 1
        await watched.look(after=5)
    assert watched.health.live == (True, "ok")


async def test_time_in_which_kafka_does_not_respond_does_not_count(offline):
    watched = Watched(offline, FakePartition())
    await watched.look_for(25)
    at, watched.lag.at = watched.lag.at, {}
    await watched.look(after=600)
    watched.lag.at = at
    await watched.look_for(25)
    with pytest.raises(StalledError):
        await watched.look(after=5)


@pytest.mark.parametrize(
    "error",
    [mark_infrastructure(ConnectionRefusedError()), TimeoutError("of its own patience")],
)
async def test_while_postgresql_does_not_respond_nothing_counts(offline, error):
    watched = Watched(offline, FakePartition())
    watched.database.error = error
    await watched.look_for(300)
    watched.database.error = None
    with pytest.raises(StalledError):
        await watched.look_for(60)


async def test_a_member_that_the_group_never_responds_to_is_a_stall(offline):
    watched = Watched(offline, known=False)
    watched.lag.complete = False  # Kafka responds to nobody
    await watched.look(began=0.0)
    watched.lag.complete = True
    with pytest.raises(StalledError, match="the group gave no partitions"):
        await watched.look(began=0.0)


async def test_a_partition_that_can_not_be_read_does_not_stop_the_others(offline):
    """A restart would stop them; the partition has its own alert."""
    bad, good = FakePartition(0), FakePartition(1)
    bad.unreadable = True
    watched = Watched(offline, bad, good)
    watched.lag.at[good.partition] = watched.lag.end  # nothing is left to read
    await watched.look_for(300)
    assert watched.health.live == (True, "ok")


async def test_a_consumer_that_can_read_nothing_of_what_it_has_fails_liveness_at_last(offline):
    partitions = FakePartition(0), FakePartition(1)
    for one in partitions:
        one.unreadable = True
    watched = Watched(offline, *partitions)
    for _ in range(2):
        with pytest.raises(StalledError):
            await watched.look_for(60)
        watched.watchdog._marks.clear()
    await watched.look()
    assert not watched.health.live[0]
    partitions[0].unreadable, watched.lag.at[FIRST] = False, 4
    await watched.look(after=5)
    assert watched.health.live == (True, "ok")


def failing(service, *, patience=0.0):
    watched = Watched(service, FakePartition())
    watched.watchdog._patience = patience
    return watched


async def test_an_error_that_repeats_without_progress_fails_liveness(offline):
    watched = failing(offline)
    await watched.watchdog.failed(watched.assignment, ["GroupAuthorizationFailedError()"])
    assert "GroupAuthorizationFailedError" in watched.health.live[1]
    watched.lag.at = {FIRST: 5}
    await watched.look()
    assert watched.health.live == (True, "ok")


@pytest.mark.parametrize("reason", ["patience", "progress", "Kafka away", "PostgreSQL away"])
async def test_an_error_does_not_fail_liveness(offline, reason):
    watched = failing(offline, patience=0.0 if "away" in reason else 1000.0)
    watched.lag.complete = reason != "Kafka away"
    if reason == "PostgreSQL away":
        watched.database.error = mark_infrastructure(ConnectionRefusedError())
    for _ in range(3):
        await watched.watchdog.failed(watched.assignment, ["one"])
        if reason == "progress":
            watched.watchdog._failing_since = 0.0
            watched.assignment._moved = True
    assert watched.health.live == (True, "ok")
