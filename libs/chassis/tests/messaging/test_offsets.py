"""Offsets are committed a few times a second; what that leaves uncommitted has no second effect."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError

from chassis.health import Health
from chassis.messaging import Consumer
from chassis.messaging.consuming.offsets import Offsets
from testkit.logs import own_logs
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE
from .history import faults
from .partitions import PARTITIONS

FIRST, SECOND = TopicPartition("counters", 0), TopicPartition("counters", 1)
NEVER = 1000.0  # seconds: longer than the test
NAMES = [f"counter-{number}" for number in range(10)]


class Kafka:
    """A client that records its commits. It refuses those for which it has an error."""

    def __init__(self, *errors):
        self.commits = []
        self.asked = 0
        self.errors = list(errors)
        self.begun = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def commit(self, offsets):
        self.asked += 1
        self.begun.set()
        await self.answers.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.commits.append(dict(offsets))


def offsets_of(kafka: Any, *, every=NEVER, limit=NEVER):
    return Offsets(consumer=kafka, every=every, limit=limit)


async def test_all_partitions_are_committed_by_one_request_and_the_newest_offset_of_each():
    kafka = Kafka()
    offsets = offsets_of(kafka)
    for offset in (1, 2, 3):
        offsets.note(FIRST, offset)
    offsets.note(SECOND, 7)
    await offsets.commit()
    offsets.note(SECOND, 7)
    await offsets.commit()
    assert kafka.commits == [{FIRST: 3, SECOND: 7}]


async def test_the_first_offset_is_committed_at_once_and_the_next_not_before_it_is_due():
    kafka = Kafka()
    offsets = offsets_of(kafka)
    async with running(offsets.run()):
        offsets.note(FIRST, 1)
        await kafka.begun.wait()
        offsets.note(FIRST, 2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert kafka.commits == [{FIRST: 1}]
        await offsets.commit()
        assert kafka.commits == [{FIRST: 1}, {FIRST: 2}]


async def test_a_commit_that_is_cancelled_midway_is_made_again_before_the_partition_is_given_up():
    kafka = Kafka()
    kafka.answers.clear()
    offsets = offsets_of(kafka)
    offsets.note(FIRST, 1)
    async with running(offsets.run()):
        await kafka.begun.wait()
    kafka.answers.set()
    await offsets.give_up()
    assert kafka.commits == [{FIRST: 1}]


async def test_a_commit_that_kafka_never_answers_does_not_keep_the_partitions():
    kafka = Kafka()
    kafka.answers.clear()
    offsets = offsets_of(kafka, limit=0.01)
    offsets.note(FIRST, 1)
    with own_logs() as logs:
        await offsets.give_up()
    kafka.answers.set()
    await offsets.commit()
    assert kafka.commits == []
    assert [(line["event"], line["partitions"]) for line in logs] == [
        ("offsets not committed", ["counters/0"])
    ]


async def test_a_commit_that_is_repeated_over_a_rebalance_ends_before_the_partitions_are_given_up():
    """A repetition would carry the new generation, and old offsets of others' partitions."""
    kafka = Kafka()
    kafka.answers.clear()
    offsets = offsets_of(kafka, limit=0.05)
    async with running(offsets.run()):
        offsets.note(FIRST, 1)
        await kafka.begun.wait()
        await offsets.give_up()
        kafka.answers.set()
        for _ in range(10):
            await asyncio.sleep(0)
    assert kafka.commits == []


async def test_a_commit_that_takes_too_long_is_made_again():
    kafka = Kafka()
    kafka.answers.clear()
    offsets = offsets_of(kafka, every=0, limit=0.05)
    async with running(offsets.run()):
        offsets.note(FIRST, 1)
        await until(lambda: kafka.asked > 1)
        kafka.answers.set()
        await until(lambda: kafka.commits == [{FIRST: 1}])


@pytest.mark.parametrize("error", [CommitFailedError(), GroupAuthorizationFailedError()])
async def test_a_refused_last_commit_is_no_error_of_who_gives_the_partitions_up(error):
    kafka = Kafka(error)
    offsets = offsets_of(kafka)
    offsets.note(FIRST, 1)
    await offsets.give_up()
    await offsets.commit()
    assert kafka.commits == []


async def test_a_partition_that_comes_back_is_committed_at_the_same_offset_again():
    """In between, another member may have had it."""
    kafka = Kafka()
    offsets = offsets_of(kafka)
    for _ in range(2):
        offsets.note(FIRST, 1)
        await offsets.give_up()
    assert kafka.commits == [{FIRST: 1}, {FIRST: 1}]


async def test_a_commit_that_kafka_refuses_ends_the_member():
    offsets = offsets_of(Kafka(GroupAuthorizationFailedError()))
    offsets.note(FIRST, 1)
    with pytest.raises(GroupAuthorizationFailedError):
        await offsets.run()


class Killed(Offsets):
    """The process is killed before it commits."""

    async def commit(self):
        await asyncio.Event().wait()

    async def give_up(self):
        pass


class KilledMember(Consumer):
    def _offsets(self, consumer):
        return Killed(consumer=consumer, every=0, limit=NEVER)


class RarelyCommitting(Consumer):
    """After its first commit, none is due before the end of the test."""

    def _offsets(self, consumer):
        return Offsets(consumer=consumer, every=NEVER, limit=30)


async def committed(service):
    """Return the offsets that the service's group has committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=service.topics.bootstrap_servers,
        group_id=service.topics.prefix + SERVICE,
        enable_auto_commit=False,
    )
    places = [TopicPartition(service.topics.prefix + "counters", one) for one in PARTITIONS]
    await consumer.start()
    try:
        return {one.partition: await consumer.committed(one) or 0 for one in places}
    finally:
        await consumer.stop()


async def test_killed_between_the_database_commit_and_the_offset_commit_redelivers_what_is_known(
    service,
):
    async with running(service.relay().run()):
        async with running(
            service.consumer(kind=KilledMember, batch_messages=3, session_seconds=2).run()
        ):
            for _ in range(3):
                await service.raise_counters(*NAMES)
            await service.until_effects()
        assert sum((await committed(service)).values()) == 0
        async with running(service.consumer().run()):
            await service.raise_counters(*NAMES)
            await service.until_effects()
    assert faults(await service.effects(), service.raised) == []
    assert (service.outcome("done"), service.outcome("duplicate")) == (40, 30)


async def test_stopped_with_uncommitted_offsets_it_commits_the_last(service):
    consumer = service.consumer(kind=RarelyCommitting, batch_messages=1)
    async with running(service.relay().run(), consumer.run()):
        await service.raise_counters(*NAMES)
        await service.until_effects()
        for _ in range(3):
            await service.raise_counters(*NAMES)
        await service.until_effects()
        assert sum((await committed(service)).values()) < 40
    assert sum((await committed(service)).values()) >= 39  # the batch in hand is rolled back


async def test_between_a_batch_and_its_offsets_commit_a_rebalance_commits_before_another_goes_on(
    service,
):
    """The new owner begins behind all that took effect: nothing is delivered twice."""
    health = Health()
    health.started()
    consumer = service.consumer(kind=RarelyCommitting, batch_messages=1)
    async with running(service.relay().run(), consumer.run()):
        for _ in range(4):
            await service.raise_counters(*NAMES)
        await service.until_effects()
        assert sum((await committed(service)).values()) < 40

        async def joined():
            return health.ready[0]

        async with running(service.consumer(health=health).run()):
            await until(joined)
            assert sum((await committed(service)).values()) == 40
            await service.raise_counters(*NAMES)
            await service.until_effects()
    assert service.outcome("duplicate") == 0
    assert faults(await service.effects(), service.raised) == []
