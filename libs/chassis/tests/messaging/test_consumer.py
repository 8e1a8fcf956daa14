"""The consumer on real Kafka: each partition in order; a failing one waits, the others go on."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from chassis.cancellation import GuardedTaskGroup
from chassis.health import Health
from chassis.messaging import Consumer, FailurePolicy
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.offsets import Offsets
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.events import cloud_event_headers
from chassis.messaging.metrics import ConsumerMetrics
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE, SOURCE, CounterAudited, CounterRaised, record
from .history import faults
from .messages import raised
from .partitions import keys_of

END_BACKEND = text("SELECT pg_terminate_backend(pg_backend_pid())")


async def committed(service, partition=0):
    """Return the offset that the service's group has committed in a partition of its topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=service.topics.bootstrap_servers,
        group_id=service.topics.prefix + SERVICE,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        return await consumer.committed(
            TopicPartition(service.topics.prefix + "counters", partition)
        )
    finally:
        await consumer.stop()


def headers_of(event, event_id):
    return cloud_event_headers(event, event_id=event_id, source=SOURCE, trace={})


async def test_every_event_has_its_effect_once_and_in_order(service):
    names = [f"counter-{number}" for number in range(20)]
    async with running(service.relay().run(), service.consumer(batch_messages=30).run()):
        await asyncio.gather(*(service.raise_counters(*[name] * 10) for name in names))
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


async def test_a_message_that_kafka_delivers_twice_has_one_effect(service):
    event = CounterRaised(counter="a", number=1)
    async with running(service.consumer().run()):
        await service.send(event.to_json(), event.to_json(), headers=headers_of(event, "one"))
        last = CounterRaised(counter="a", number=2)
        await service.send(last.to_json(), headers=headers_of(last, "two"))
        await service.until_effects(2)
    assert await service.effects() == [("a", 1), ("a", 2)]


async def test_a_crash_between_the_commit_and_the_offsets_commit_has_no_second_effect(service):
    """A consumer that dies there leaves effects and no offset; the next one reads them again."""
    await service.raise_counters("a", "a", "a")
    async with running(service.relay().run()):
        records = await service.topics.read("counters", 3)
    assert await service.runner().run(records[:2]) == (2, None)
    assert await committed(service, records[0].partition) is None
    async with running(service.consumer().run()):
        await service.until_effects()
    assert await service.effects() == [("a", 1), ("a", 2), ("a", 3)]
    assert (service.outcome("done"), service.outcome("duplicate")) == (3, 2)


async def test_a_failing_message_holds_up_its_key_alone_and_goes_through_in_order(service):
    [stuck, neighbour], [free] = keys_of(0, 2), keys_of(1, 1)
    policy = {"failure": FailurePolicy(attempts=1000, first_delay=0.01, longest_delay=0.01)}
    cause = {"present": True}
    attempts = []

    async def fail_at_three(event, delivery):
        if cause["present"] and (event.counter, event.number) == (stuck, 3):
            attempts.append(event.number)
            message = "three is refused"
            raise ValueError(message)
        await record(event, delivery)

    await service.raise_counters(*[stuck] * 5, neighbour)
    work = (
        service.relay().run(),
        service.consumer(runner=service.runner(fail_at_three, **policy)).run(),
        service.retries(fail_at_three, **policy).run(),
    )
    async with running(*work):
        await service.raise_counters(*[free] * 3)
        await service.until_effects(6)

        async def tried_again():
            return len(attempts) >= 5

        await until(tried_again)
        now = await service.effects()
        assert [effect for effect in now if effect[0] == stuck] == [(stuck, 1), (stuck, 2)]
        assert (neighbour, 1) in now
        cause["present"] = False
        await service.until_effects()
    assert faults(await service.effects(), service.raised) == []


@pytest.mark.parametrize("event", [None, CounterAudited(counter="b", number=1)])
async def test_what_is_unreadable_or_unknown_is_kept_with_an_alert_and_the_partition_goes_on(
    service, event
):
    """One message is no CloudEvent, the other has a type that the table does not contain."""
    headers = {"foreign": "yes"} if event is None else headers_of(event, "unknown")
    first, third = CounterRaised(counter="a", number=1), CounterRaised(counter="a", number=3)
    await service.send(first.to_json(), headers=headers_of(first, "first"))
    await service.send(b"{}", headers=headers, key="b")
    await service.send(third.to_json(), headers=headers_of(third, "third"))

    async def all_committed():
        return await committed(service) == 3

    async with running(service.consumer().run()):
        await service.until_effects(2)
        await until(all_committed)
    assert await service.effects() == [("a", 1), ("a", 3)]
    [(error,)] = await service.query("SELECT error FROM parked_messages")
    assert ("lacks the header ce_id" if event is None else "counter.audited.v1") in error
    assert service.outcome("parked" if event is None else "unknown") == 1


async def test_offsets_that_kafka_no_longer_has_raise_an_alert(service):
    """Messages that retention deleted before this service read them are lost: it must alert."""
    [key] = keys_of(0, 1)
    await service.raise_counters(key, key, key)
    async with running(service.relay().run(), service.consumer(batch_messages=1).run()):
        await service.until_effects()

        async def all_committed():
            return await committed(service) == 3

        await until(all_committed)
    await service.raise_counters(key, key, key)
    async with running(service.relay().run()):
        await service.until_published()
    topic = service.topics.prefix + "counters"
    admin = AIOKafkaAdminClient(bootstrap_servers=service.topics.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    await admin.close()
    async with running(service.consumer().run()):
        await service.until_effects(4)
    assert service.metrics.out_of_range.labels(topic)._value.get() == 1


async def test_a_member_without_a_partition_is_ready_as_well(service):
    """There may be more workers than partitions; none of them may delay a rollout."""
    healths = [Health() for _ in range(4)]  # for three partitions
    members = [service.consumer(health=health) for health in healths]
    for health in healths:
        health.started()
    assert not any(health.ready[0] for health in healths)

    async def all_are_ready():
        return all(health.ready[0] for health in healths)

    async with running(*(member.run() for member in members)):
        await until(all_are_ready)


class FakeKafka:
    """A client that records its calls, and refuses the commit."""

    def __init__(self):
        self.calls = []

    async def commit(self, offsets):
        self.calls.append(("commit", *offsets.values()))
        raise CommitFailedError

    def seek(self, _, offset):
        self.calls.append(("seek", offset))


async def test_a_partition_is_held_at_the_message_it_stopped_at_even_if_the_commit_fails(service):
    """Otherwise the next poll would return later messages, which would overtake."""

    async def lose_the_server_at_two(event, delivery):
        if event.number == 2:
            await delivery.unit.session.execute(
                text("SELECT pg_terminate_backend(pg_backend_pid())")
            )
        await record(event, delivery)

    await service.raise_counters("a", "a", "a")
    async with running(service.relay().run()):
        records = await service.topics.read("counters", 3)
    kafka: Any = FakeKafka()
    offsets = Offsets(consumer=kafka, every=0, limit=30)
    partition = PartitionConsumer(
        consumer=kafka,
        offsets=offsets,
        partition=TopicPartition(records[0].topic, records[0].partition),
        runner=service.runner(lose_the_server_at_two, batched=False),
        metrics=service.metrics,
        health=Health(),
        batch_messages=10,
    )
    await partition._process(records)
    await offsets.commit()
    assert kafka.calls == [("seek", 1), ("commit", 1)]
    assert partition.position == 1


class SlowKafka:
    """A client whose commits are slow."""

    def __init__(self):
        self.committed = []
        self.answer = asyncio.Event()

    async def commit(self, offsets):
        self.committed += offsets.values()
        await self.answer.wait()


async def test_batches_go_on_while_a_commit_takes_its_time_and_the_newest_offset_follows(offline):
    """The committed offset never goes back: there is one commit at a time."""
    kafka: Any = SlowKafka()
    offsets = Offsets(consumer=kafka, every=0, limit=30)
    partition = PartitionConsumer(
        consumer=kafka,
        offsets=offsets,
        partition=TopicPartition("counters", 0),
        runner=offline.runner(),
        metrics=offline.metrics,
        health=Health(),
        batch_messages=10,
    )
    async with running(offsets.run()):
        for number in (0, 1, 2):
            await partition._process(raised(number))
        assert [number for _, number in await offline.effects()] == [0, 1, 2]
        assert kafka.committed == [1]
        kafka.answer.set()
        await until(lambda: _contains(kafka.committed, 3))
    assert kafka.committed == [1, 3]


async def _contains(offsets, offset):
    return offset in offsets


class RefusedOnce(BatchRunner[Any]):
    """Its first run raises an error of Kafka."""

    refused = False

    async def run(self, records, **options):
        if not self.refused:
            self.refused = True
            message = "the group may not commit"
            raise GroupAuthorizationFailedError(message)
        return await super().run(records, **options)


async def test_an_error_of_kafka_in_a_partitions_task_reconnects_and_does_not_end_the_process(
    service,
):
    """The errors of all partitions arrive as one exception group."""
    await service.raise_counters("a")
    runner = RefusedOnce(
        service=SERVICE,
        database=service.database,
        handling=service.handling(),
        metrics=service.metrics,
    )
    async with running(service.relay().run(), service.consumer(runner=runner).run()):
        await service.until_effects()
    assert runner.refused
    assert await service.effects() == [("a", 1)]


async def test_a_handler_that_takes_longer_than_the_poll_interval_keeps_its_partitions(service):
    """If the group revoked the partitions of a busy member, another would repeat its work."""
    began = []

    async def take_long(event, delivery):
        began.append(event.number)
        await asyncio.sleep(1.5)
        await record(event, delivery)

    class Impatient(Consumer):
        def _client(self):
            client = super()._client()
            client._max_poll_interval_ms = 500
            return client

    await service.raise_counters("a")
    consumer = service.consumer(take_long, kind=Impatient)
    async with running(service.relay().run(), consumer.run()):
        await service.until_effects()
    assert began == [1]


async def test_partitions_that_come_while_the_consumer_stops_are_left_alone():
    async with GuardedTaskGroup() as group:
        pass
    known = []
    nothing: Any = None
    consumed: Any = PartitionConsumer
    assignment = Assignment(
        group=group,
        offsets=nothing,
        consume=lambda one: consumed(
            consumer=None,
            offsets=None,
            partition=one,
            runner=None,
            metrics=None,
            health=Health(),
            batch_messages=1,
        ),
        on_known=lambda: known.append(True),
        finish_seconds=1,
    )
    await assignment.on_partitions_assigned([TopicPartition("counters", 0)])
    assert (assignment.partitions, known) == ({}, [])


async def test_a_partition_that_waits_to_retry_gives_way_to_a_rebalance_at_once():
    """The group waits for all members: the wait would stop every partition of the service."""
    nothing: Any = None
    partition: PartitionConsumer[Any] = PartitionConsumer(
        consumer=nothing,
        offsets=nothing,
        partition=TopicPartition("counters", 0),
        runner=nothing,
        metrics=ConsumerMetrics(CollectorRegistry()),
        health=Health(),
        batch_messages=1,
    )
    paused = asyncio.Event()
    record: Any = SimpleNamespace(topic="counters", partition=0, offset=1)

    async def waits() -> None:
        partition.working = True
        for _ in range(20):  # beyond the longest delay of the back-off
            partition._failures.count()
        paused.set()
        await partition._back_off(record, ConnectionError("PostgreSQL is away"))

    task = asyncio.create_task(waits())
    await paused.wait()
    async with asyncio.timeout(5):
        await partition.finish(task, seconds=60)


async def test_slow_handlers_get_smaller_batches_and_quick_ones_larger_again():
    nothing: Any = None
    partition: PartitionConsumer[Any] = PartitionConsumer(
        consumer=nothing,
        offsets=nothing,
        partition=nothing,
        runner=nothing,
        metrics=nothing,
        health=Health(),
        batch_messages=500,
    )
    partition._adapt(6)
    assert partition._size == 125
    for _ in range(9):
        partition._adapt(6)
    assert partition._size == 1
    for _ in range(20):
        partition._adapt(0.1)
    assert partition._size == 500
