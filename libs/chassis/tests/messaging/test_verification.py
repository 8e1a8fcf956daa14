"""A healthy service verifies clean, also at work; each kind of damage is found and named."""

import asyncio
from dataclasses import replace

import pytest

from chassis.messaging.publishing.partitioner import hash_of_key
from chassis.verification.declared import Verification
from chassis.verification.facts import Kind
from chassis.verification.judging import Difference
from testkit.waiting import until

from .conftest import running
from .counting import CounterRaised, CounterSnapshot
from .verifying import COUNTERS, facts_of, judged, verified

WRITTEN = 50
PARTITIONS = 3  # the fixture's


class CounterLowered(CounterRaised):
    type = "counter.lowered.v1"


class CounterRaisedV2(CounterRaised):
    type = "counter.raised.v2"


@pytest.fixture
async def handled(service):
    """The service after it has handled five events of two counters, with nothing in progress."""
    async with running(service.relay().run(), service.consumer().run()):
        await service.raise_counters("a", "b", "a", "a", "b")
        await service.until_effects()
        await service.until_published()
    return service


async def change(service, sql, *arguments):
    await service.query(sql, *arguments)


async def publish(service, event, *, event_id, key="a"):
    """Publish an event past the outbox."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "/tests/counters",
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_sequence": str(event.sequence).zfill(20),
    }
    partition = hash_of_key(key) % PARTITIONS
    await service.send(event.to_json(), headers=headers, key=key, partition=partition)


def also(event):
    """Return the declaration of a service whose counters have a further event."""
    return Verification(aggregates=[replace(COUNTERS, events=[*COUNTERS.events, event])])


async def test_a_healthy_service_verifies_clean(handled):
    found, judge = await judged(await facts_of(handled))
    assert found == []
    assert judge.counts["counters/counter"][Kind.ROW] == 2
    assert judge.counts["counters/counter"][Kind.EVENT] == 5
    assert judge.counts["counters/effect"][Kind.HANDLED] == 5
    assert judge.counts["counters/effect"][Kind.EFFECT] == 5


async def test_reading_changes_nothing(handled):
    state = "SELECT * FROM counters, inbox ORDER BY 1, 2, 3, 4, 5"
    before = await handled.query(state)
    assert await verified(handled) == await verified(handled) == []
    assert await handled.query(state) == before


async def test_work_in_progress_is_no_difference(service):
    """Verify again and again while a writer, the relay and the consumer are at work."""
    differing = []
    async with running(service.relay().run(), service.consumer().run()):
        writing = asyncio.create_task(service.raise_counters(*"abca" * WRITTEN))
        runs = 0
        while not writing.done():
            differing += await verified(service, page=10)
            runs += 1
        await writing
    assert differing == []
    assert runs, "nothing was written while facts were read"


async def test_what_waits_in_the_outbox_is_no_difference(service):
    async with running(service.relay().run()):
        await service.raise_counters("a")
        await service.until_published()
    await service.raise_counters("a", "a", "b")
    assert await service.backlog() == 3
    assert await verified(service) == []


async def test_a_row_deleted_from_the_outbox_before_it_was_sent(handled):
    await handled.raise_counters("a")
    await change(handled, "DELETE FROM outbox")
    assert await verified(handled) == [("a", Difference.CHANGE_WITHOUT_EVENT)]


async def test_the_first_change_lost_its_event_and_a_later_one_has_one(service):
    await service.raise_counters("a")
    await change(service, "DELETE FROM outbox")
    await service.raise_counters("a")
    assert await verified(service) == [("a", Difference.CHANGE_WITHOUT_EVENT)]
    async with running(service.relay().run()):
        await service.until_published()
    assert await verified(service) == [("a", Difference.CHANGE_WITHOUT_EVENT)]


async def test_a_snapshot_stands_for_the_events_before_it(service):
    """Its topic was deleted, and the replay has published snapshots."""
    await service.raise_counters("a", "a")
    await change(service, "DELETE FROM outbox")
    await publish(service, CounterSnapshot(counter="a", number=2), event_id="s")
    await service.raise_counters("a")
    async with running(service.relay().run()):
        await service.until_published()
    assert await verified(service) == []


async def test_a_change_without_any_event(handled):
    await change(handled, "INSERT INTO counters VALUES ('silent', 1)")
    assert await verified(handled) == [("silent", Difference.CHANGE_WITHOUT_EVENT)]


async def test_a_deleted_effect(handled):
    [(event_id,)] = await handled.query(
        "DELETE FROM effects WHERE counter = 'a' AND number = 2 RETURNING event_id"
    )
    assert await verified(handled) == [(event_id, Difference.EVENT_WITHOUT_EFFECT)]


async def test_an_effect_that_no_event_caused(handled):
    await change(handled, "INSERT INTO effects (counter, number, event_id) VALUES ('a', 9, 'x')")
    assert await verified(handled) == [("x", Difference.EFFECT_WITHOUT_EVENT)]


async def test_a_message_that_the_group_passed_without_a_trace(handled):
    [(event_id,)] = await handled.query("SELECT event_id FROM effects WHERE number = 3")
    await change(handled, "DELETE FROM inbox WHERE id = $1", event_id)
    await change(handled, "DELETE FROM effects WHERE event_id = $1", event_id)
    assert await verified(handled) == [(event_id, Difference.NOT_CONSUMED)]


@pytest.mark.parametrize(
    ("version", "difference"),
    [(2, Difference.EVENT_WITHOUT_CHANGE), (5, Difference.CHANGE_WITHOUT_EVENT)],
)
async def test_an_altered_version(handled, version, difference):
    await change(handled, "UPDATE counters SET value = $1 WHERE name = 'a'", version)
    assert await verified(handled) == [("a", difference)]


async def test_a_deleted_row(handled):
    await change(handled, "DELETE FROM counters WHERE name = 'b'")
    assert await verified(handled) == [("b", Difference.EVENT_WITHOUT_CHANGE)]


async def test_an_event_after_the_end_of_its_subject(service):
    await publish(service, CounterRaised(counter="a", number=1), event_id="one")
    await publish(service, CounterLowered(counter="a", number=2), event_id="two")
    ending = Verification(
        aggregates=[
            replace(each, ended_by=[CounterLowered]) for each in also(CounterLowered).aggregates
        ]
    )
    assert await verified(service, declared=ending) == []
    await publish(service, CounterRaised(counter="a", number=3), event_id="three")
    assert await verified(service, declared=ending) == [("a", Difference.EVENT_WITHOUT_CHANGE)]


async def test_an_event_without_its_change(handled):
    await publish(handled, CounterRaised(counter="ghost", number=1), event_id="g", key="ghost")
    assert await verified(handled) == [("ghost", Difference.EVENT_WITHOUT_CHANGE)]


async def test_an_event_published_twice_with_another_content(handled):
    [(event_id,)] = await handled.query(
        "SELECT event_id FROM effects WHERE counter = 'a' AND number = 3"
    )
    other = CounterRaised(counter="a", number=3, filler="something else")
    await publish(handled, other, event_id=event_id)
    assert await verified(handled) == [("a", Difference.TWO_CONTENTS)]


async def test_a_change_announced_by_two_events(handled):
    await publish(handled, CounterRaised(counter="a", number=3), event_id="second")
    assert await verified(handled) == [("a", Difference.TWO_CONTENTS)]


async def test_two_changes_announced_as_one_version(service):
    """The database was restored to an earlier moment than the topic, and then went on."""
    await service.raise_counters("a")
    async with running(service.relay().run()):
        await service.until_published()
    await publish(service, CounterLowered(counter="a", number=1), event_id="other")
    found = await verified(service, declared=also(CounterLowered))
    assert found == [("a", Difference.TWO_CONTENTS)]


async def test_a_change_announced_by_two_versions_of_its_event_is_no_difference(service):
    await service.raise_counters("a")
    async with running(service.relay().run()):
        await service.until_published()
    await publish(service, CounterRaisedV2(counter="a", number=1), event_id="v2")
    assert await verified(service, declared=also(CounterRaisedV2)) == []


async def test_an_event_that_a_frozen_relay_repeats_is_no_difference(service):
    await service.raise_counters("a")
    [(event_id, payload)] = await service.query("SELECT id::text, payload FROM outbox")
    async with running(service.relay().run()):
        await service.until_published()
    await publish(service, CounterRaised.from_json(payload), event_id=event_id)
    assert await verified(service) == []


async def test_a_gap_in_ce_sequence(service):
    await service.raise_counters("a", "a", "a")
    await change(service, "DELETE FROM outbox WHERE headers ->> 'ce_sequence' LIKE '%2'")
    async with running(service.relay().run()):
        await service.until_published()
    assert await verified(service) == [("a", Difference.GAP)]


async def test_events_published_in_another_order(service):
    await change(service, "INSERT INTO counters VALUES ('a', 2)")
    await publish(service, CounterRaised(counter="a", number=2), event_id="two")
    await publish(service, CounterRaised(counter="a", number=1), event_id="one")
    assert await verified(service) == [("a", Difference.OVERTAKEN)]


async def test_a_parked_message_is_counted_and_no_difference(service):
    async def fail(event, delivery):
        del delivery
        raise ValueError(event.counter)

    async with running(service.relay().run(), service.consumer(fail).run()):
        await service.raise_counters("a", "b")

        async def parked():
            return len(await service.query("SELECT FROM parked_messages")) == 2

        await until(parked)
        await until_committed(service)
    found, judge = await judged(await facts_of(service))
    assert found == []
    assert judge.waiting == 2


async def until_committed(service):
    """Wait until the group has committed offsets of all that was published."""

    async def passed():
        facts = await facts_of(service)
        return sum(fact.kind is Kind.HANDLED for fact in facts) == service.raised.total()

    await until(passed)


async def test_a_row_of_before_the_window_needs_no_event(handled):
    facts = [
        fact if fact.kind is not Kind.WINDOW else type(fact)(**{**_fields(fact), "at": 2e12})
        for fact in await facts_of(handled)
        if fact.kind is not Kind.EVENT
    ]
    found, _ = await judged(facts)
    assert found == []


def _fields(fact):
    return {name: getattr(fact, name) for name in type(fact).__dataclass_fields__}
