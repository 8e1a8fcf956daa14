"""The parked messages of a key are erased, when the account that the key names has ended."""

import asyncio

import pytest

from chassis.messaging import FailurePolicy, erase_parked
from testkit.waiting import until

from .counting import SERVICE, record
from .messages import raised

ONCE = FailurePolicy(attempts=1)
QUEUES = "SELECT key FROM parked_keys ORDER BY id"
WAITING = "SELECT convert_from(key, 'utf8'), log_offset FROM parked_messages ORDER BY seq"
OUTCOMES = "SELECT outcome, count(*) FROM inbox GROUP BY 1 ORDER BY 1"
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


async def refuse(event, delivery):
    await record(event, delivery)
    message = "refused"
    raise ValueError(message)


async def erase(service, key="a"):
    async with service.database.transaction() as unit:
        return await erase_parked(unit, consumer=SERVICE, key=key)


async def drain(retries):
    while await retries.work_one():
        pass


async def until_somebody_waits_for_a_lock(service):
    async def blocked():
        return await service.query(BLOCKED) != [(0,)]

    await until(blocked)


@pytest.mark.parametrize("failure", [ONCE, FailurePolicy(), FailurePolicy(attempts=1, skip=True)])
async def test_erased_messages_take_no_effect_and_other_keys_stay(offline, failure):
    for counter, numbers in {"a": (1, 2), "b": (11, 12)}.items():
        await offline.runner(refuse, failure=failure).run(raised(*numbers, counter=counter))
    before = await offline.query(WAITING)
    erased = await erase(offline)
    assert erased == sum(key == "a" for key, _ in before) > 0
    assert {key for key, _ in await offline.query(WAITING)} == {"b"}
    await offline.query("UPDATE parked_keys SET next_attempt_at = now() WHERE state = 'retrying'")
    await drain(offline.retries(refuse, failure=failure))
    assert {key for (key,) in await offline.query(QUEUES)} == {"b"}
    assert await offline.effects() == []


async def test_a_message_that_is_delivered_again_after_its_erasure_takes_no_effect(offline):
    await offline.runner(refuse, failure=ONCE).run(raised(1, 2))
    await erase(offline)
    assert await offline.query(OUTCOMES) == [("discarded", 2)]
    assert await offline.runner().run(raised(1, 2)) == (2, None)
    assert await offline.effects() == []


async def test_later_messages_of_the_key_are_handled(offline):
    await offline.runner(refuse, failure=ONCE).run(raised(1, 2))
    await erase(offline)
    await offline.runner().run(raised(3))  # behind the empty queue, which is not closed yet
    await drain(offline.retries())
    await offline.runner().run(raised(4))
    assert await offline.effects() == [("a", 3), ("a", 4)]
    assert await offline.query(QUEUES) == []


async def test_a_key_without_parked_messages_is_nothing_to_erase(offline):
    assert await erase(offline) == 0
    assert await erase(offline, key="") == 0


async def test_while_a_message_is_retried_the_erasure_waits_and_leaves_none(offline):
    """Between the retry's lock and its effect: the message takes effect, and the rest is erased."""
    await offline.runner(refuse, failure=FailurePolicy()).run(raised(1, 2, 3))
    await offline.query("UPDATE parked_keys SET next_attempt_at = now()")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event, delivery):
        await record(event, delivery)
        begun.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(offline.retries(slow).work_one())
        await begun.wait()
        erasing = group.create_task(erase(offline))
        await until_somebody_waits_for_a_lock(offline)
        go_on.set()
    assert erasing.result() == 2
    assert await offline.effects() == [("a", 1)]
    assert await offline.query(WAITING) == []


async def test_while_a_message_is_parked_the_erasure_waits_for_it(offline):
    """Between the append to the queue and its commit: the message is erased as well."""
    await offline.runner(refuse, failure=ONCE).run(raised(1))
    async with offline.database.transaction() as unit:
        [[queue]] = await unit.fetch("SELECT id FROM parked_keys FOR KEY SHARE")
        await unit.execute(
            "INSERT INTO parked_messages (parked_key_id, topic, partition, log_offset, source, id,"
            " headers, attempts) VALUES ($1, 'counters', 0, 2, 's', 'i', '[]', 0)",
            queue,
        )
        erasing = asyncio.create_task(erase(offline))
        await until_somebody_waits_for_a_lock(offline)
    assert await erasing == 2
    assert await offline.query(WAITING) == []
