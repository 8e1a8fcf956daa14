"""An event that Kafka refuses blocks its own key, and nothing else."""

import json
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from opentelemetry import trace

from testkit.waiting import until

from .conftest import counting_service, running
from .history import faults
from .lanes import lane
from .partitions import PARTITIONS, keys_of

SMALL = 2_000


def events(records):
    return [(record.key.decode(), json.loads(record.value)["number"]) for record in records]


@asynccontextmanager
async def administering(topics):
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def small_topic(topics):
    """Create a topic that accepts small batches only; yield a function that lifts the limit."""
    name = topics.prefix + "counters"
    async with administering(topics) as admin:
        limit = {"max.message.bytes": str(SMALL)}
        await admin.create_topics([NewTopic(name, len(PARTITIONS), 1, topic_configs=limit)])

    async def lift():
        async with administering(topics) as admin:
            wide = {"max.message.bytes": "1000000"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, wide)])

    return lift


@pytest.fixture
async def narrow(database, database_settings, topics):
    """The service, with a topic that accepts small batches only."""
    lift = await small_topic(topics)
    async with (
        counting_service(database, database_settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting, lift


async def refusals(service):
    return await service.query("SELECT key, attempts FROM outbox_refusals ORDER BY seq")


async def publish_page(publishing):
    """Publish one page with a separate producer; return whether something was refused."""
    await publishing._keep_up()
    async with publishing._publisher(15) as publisher:
        refused, _ = await publishing._publish_page(publisher)
    return refused


async def test_a_refused_event_stops_its_key_and_no_other_until_it_is_taken(narrow):
    service, lift = narrow
    [stopped, neighbour], [free] = keys_of(0, 2), keys_of(1, 1)
    await service.raise_counters(stopped)
    await service.raise_counters(stopped, filler="x" * SMALL)
    # More than two pages wait behind it; the events of other keys come after them.
    await service.raise_counters(*[stopped] * 12, *[stopped, neighbour] * 6, free)
    async with running(service.relay(page_rows=5, poll_seconds=0.2).run()):
        await service.until_published(but=19)
        assert await refusals(service) == [(stopped, 1)]
        await service.raise_counters(free, neighbour, stopped)
        await service.until_published(but=20)
        records = events(await service.topics.read("counters", 10))
        assert [event for event in records if event[0] == stopped] == [(stopped, 1)]
        await lift()
        await service.until_published()
    every = events(await service.topics.read("counters", service.raised.total()))
    assert faults(every, service.raised) == []
    assert await refusals(service) == []


async def test_the_span_of_a_refused_event_is_a_failed_one(narrow, spans):
    service, _ = narrow
    with trace.get_tracer(__name__).start_as_current_span("use case"):
        await service.raise_counters(*keys_of(0, 1), filler="x" * SMALL)
    async with lane(service, poll_seconds=0.01) as publishing:
        assert await publish_page(publishing)
    [span] = [one for one in spans.get_finished_spans() if one.name == "send counters"]
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "MessageSizeTooLargeError"


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
async def test_after_a_refused_event_its_producer_sends_nothing(narrow, used):
    """The state of aiokafka after a refusal depends on what it sent before."""
    service, lift = narrow
    [key] = keys_of(0, 1)
    async with lane(service, poll_seconds=0.01) as publishing:
        await publishing._keep_up()
        async with publishing._publisher(15) as publisher:
            if used:
                await service.raise_counters(key)
                assert await publishing._publish_page(publisher) == (False, False)
            await service.raise_counters(key, filler="x" * SMALL)
            await service.raise_counters(key, key)
            # A batch of all three is too large, and so is one of the first alone.
            assert (await publishing._publish_page(publisher))[0]
        assert await publish_page(publishing)
        assert not await publish_page(publishing)
        assert await service.backlog() == 3
        assert await refusals(service) == [(key, 1)]
        await lift()

        async def taken():
            await publish_page(publishing)
            return await service.backlog() == 0

        await until(taken)
    assert faults(events(await service.topics.read("counters", 3 + used)), service.raised) == []


async def test_the_neighbours_of_a_refused_event_in_its_batch_go(narrow):
    service, _ = narrow
    stopped, *others = keys_of(0, 8)
    await service.raise_counters(*others[:4], stopped, *others[4:], filler="x" * 50)
    await service.query(
        "UPDATE outbox SET payload = repeat('x', 3000)::bytea WHERE key = $1", stopped
    )
    async with running(service.relay(poll_seconds=0.2).run()):
        await service.until_published(but=1)
    assert set(events(await service.topics.read("counters", 7))) == {(key, 1) for key in others}
    assert [key for key, _ in await refusals(service)] == [stopped]


async def test_a_relay_that_takes_over_knows_what_was_refused(narrow):
    service, _ = narrow
    [stopped, neighbour] = keys_of(0, 2)
    await service.raise_counters(stopped, filler="x" * SMALL)
    async with running(service.relay(poll_seconds=0.2).run()):
        await until(lambda: has_refusals(service, 1))
    errors = service.relay_metrics.errors._value.get()
    await service.query("UPDATE outbox_refusals SET attempts = 7, last_refused_at = now()")
    await service.raise_counters(stopped, neighbour)
    async with running(service.relay(poll_seconds=0.2).run()):
        await service.until_published(but=2)
    assert service.relay_metrics.errors._value.get() == errors
    assert await refusals(service) == [(stopped, 7)]


async def has_refusals(service, number):
    return len(await refusals(service)) == number


async def test_attempts_at_a_refused_event_are_counted_and_shown(narrow):
    service, _ = narrow
    await service.raise_counters("a", filler="x" * SMALL)

    async def tried_twice():
        return await refusals(service) == [("a", 2)]

    async with running(service.relay(poll_seconds=0.05).run()):
        await until(tried_twice)
    async with lane(service) as measuring:
        await measuring._keep_up()
    assert service.sample("outbox_refused_rows") == 1
    [(error,)] = await service.query("SELECT error FROM outbox_refusals")
    assert error.startswith("MessageSizeTooLargeError")


async def test_a_refused_event_that_somebody_deletes_lets_its_key_go_on(narrow):
    service, _ = narrow
    await service.raise_counters("a", filler="x" * SMALL)
    await service.raise_counters("a")
    async with running(service.relay(poll_seconds=0.2).run()):
        await until(lambda: has_refusals(service, 1))
        await service.query("DELETE FROM outbox WHERE octet_length(payload) > 2000")
        assert events(await service.topics.read("counters", 1)) == [("a", 2)]
        await until(lambda: has_refusals(service, 0))


async def test_a_row_that_is_no_message_is_set_aside_too(narrow):
    service, _ = narrow
    [stopped, neighbour] = keys_of(0, 2)
    await service.raise_counters(neighbour, stopped, neighbour)
    await service.query("UPDATE outbox SET headers = '[1]' WHERE key = $1", stopped)
    async with running(service.relay(poll_seconds=0.2).run()):
        await service.until_published(but=1)
    assert await refusals(service) == [(stopped, 1)]


async def test_events_that_are_too_large_only_together_go_in_smaller_batches(narrow):
    service, _ = narrow
    await service.raise_counters(*["a", "b", "c"] * 20, filler="x" * (SMALL // 4))
    async with running(service.relay().run()):
        await service.until_published()
    assert faults(events(await service.topics.read("counters", 60)), service.raised) == []
    assert await refusals(service) == []
