"""The consumer on real Kafka: each partition in order, a failing one waits and no other does."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError
from structlog.testing import capture_logs

from chassis.health import Health
from chassis.messaging import Consumer
from chassis.messaging.events import cloud_event_headers

from .conftest import running, until
from .counting import SERVICE, SOURCE, CounterAudited, CounterRaised, record
from .history import faults
from .partitions import keys_of


async def committed(service, partition=0):
    """Where the service's group stands in a partition of its topic."""
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
    """A consumer that dies there leaves effects and no offset; the next one meets them again."""
    await service.raise_counters("a", "a", "a")
    async with running(service.relay().run()):
        records = await service.topics.read("counters", 3)
    assert await service.runner().run(records[:2]) == (2, None)
    assert await committed(service, records[0].partition) is None
    async with running(service.consumer().run()):
        await service.until_effects()
    assert await service.effects() == [("a", 1), ("a", 2), ("a", 3)]
    assert (service.outcome("done"), service.outcome("duplicate")) == (3, 2)


async def test_a_failing_message_holds_up_its_partition_alone_and_goes_through_in_order(service):
    [stuck, neighbour], [free] = keys_of(0, 2), keys_of(1, 1)
    cause = {"present": True}
    attempts = []

    async def fail_at_three(event, delivery):
        if cause["present"] and (event.counter, event.number) == (stuck, 3):
            attempts.append(event.number)
            message = "three is refused"
            raise ValueError(message)
        await record(event, delivery)

    await service.raise_counters(*[stuck] * 5, neighbour)
    async with running(service.relay().run(), service.consumer(fail_at_three).run()):
        await service.until_effects(2)
        await service.raise_counters(*[free] * 3)
        await service.until_effects(5)

        async def tried_again():
            return len(attempts) >= 3

        await until(tried_again)
        assert await service.effects() == [(stuck, 1), (stuck, 2), (free, 1), (free, 2), (free, 3)]
        cause["present"] = False
        await service.until_effects()
    after = (await service.effects())[5:]
    assert after == [(stuck, 3), (stuck, 4), (stuck, 5), (neighbour, 1)]


@pytest.mark.parametrize("event", [None, CounterAudited(counter="a", number=1)])
async def test_what_can_not_be_read_stops_its_partition_aloud_and_nothing_is_lost(service, event):
    """Here by a message that is no CloudEvent, and by a type that the table does not name."""
    headers = {"foreign": "yes"} if event is None else headers_of(event, "unknown")
    first, third = CounterRaised(counter="a", number=1), CounterRaised(counter="a", number=3)
    await service.send(first.to_json(), headers=headers_of(first, "first"))
    await service.send(b"{}", headers=headers)
    await service.send(third.to_json(), headers=headers_of(third, "third"))
    await service.send(first.to_json(), headers=headers_of(first, "other"), partition=1)

    async def failed_twice():
        return service.outcome("failed") >= 2

    with capture_logs() as lines:
        async with running(service.consumer().run()):
            await service.until_effects(2)
            await until(failed_twice)
    expected = "no header ce_id" if event is None else "counter.audited.v1"
    told = [line for line in lines if line["log_level"] == "error"]
    assert all(line["offset"] == 1 and expected in line["error"] for line in told)
    assert len(told) >= 2
    assert await service.effects() == [("a", 1), ("a", 1)]
    assert await committed(service) == 1


async def test_a_member_without_a_partition_is_ready_as_well(service):
    """There may be more workers than partitions; none of them may hold up a rollout."""
    healths = [Health() for _ in range(4)]  # of three partitions
    members = [service.consumer(health=health) for health in healths]

    async def all_are_ready():
        return all("consumer position" not in health.ready[1] for health in healths)

    async with running(*(member.run() for member in members)):
        await until(all_are_ready)


class FakeKafka:
    """A client that records what is asked of it, and refuses the commit."""

    def __init__(self, error):
        self.calls = []
        self._error = error

    async def commit(self, offsets):
        self.calls.append(("commit", *offsets.values()))
        raise self._error

    def seek(self, _, offset):
        self.calls.append(("seek", offset))

    def pause(self, _):
        self.calls.append(("pause",))


async def test_a_partition_is_held_at_its_failing_message_even_if_the_commit_fails(service):
    """Else the next poll would give what follows, and it would overtake."""

    async def fail_at_two(event, delivery):
        if event.number == 2:
            message = "two is refused"
            raise ValueError(message)
        await record(event, delivery)

    await service.raise_counters("a", "a", "a")
    async with running(service.relay().run()):
        records = await service.topics.read("counters", 3)
    kafka = FakeKafka(CommitFailedError())
    partition = TopicPartition(records[0].topic, records[0].partition)
    await service.consumer(fail_at_two)._process(kafka, partition, records)
    assert kafka.calls == [("seek", 1), ("pause",), ("commit", 1)]


class RefusedOnce(Consumer):
    """A consumer whose first commit is refused for good."""

    refused = False

    async def _process(self, consumer, partition, records):
        if not self.refused:
            self.refused = True
            message = "the group may not commit"
            raise GroupAuthorizationFailedError(message)
        await super()._process(consumer, partition, records)


async def test_an_error_of_kafka_in_a_partitions_task_reconnects_and_does_not_end_the_process(
    service,
):
    """It comes as a group of errors, one for each partition."""
    await service.raise_counters("a")
    consumer = service.consumer(kind=RefusedOnce)
    async with running(service.relay().run(), consumer.run()):
        await service.until_effects()
    assert consumer.refused
    assert await service.effects() == [("a", 1)]
