"""Parked messages of a topic with secrets are discarded after a time, whatever else happens."""

import asyncio
from datetime import timedelta

import pytest

from chassis.messaging import Subscription, Subscriptions
from chassis.messaging.consuming.parking import Parking
from testkit.waiting import until

from .counting import SERVICE, CounterRaised, record
from .messages import TOPIC, raised, raw
from .test_dead_letters import BLOCKED, ONCE, QUEUES, WAITING, Switch, drain, kill, while_tried

ACTIONS = "SELECT actor, action, key, type FROM dead_letter_actions ORDER BY id"
OUTCOMES = "SELECT outcome, count(*) FROM inbox GROUP BY 1 ORDER BY 1"
HOUR = timedelta(hours=1)


async def age(service, seconds=3601, *, only="true"):
    async with service.urls.connected() as connection:
        await connection.execute(
            f"UPDATE parked_messages SET parked_at = parked_at - interval '{seconds} s'"
            f" WHERE {only}"
        )


async def until_blocked(service):
    async def blocked():
        return await service.query(BLOCKED) != [(0,)]

    await until(blocked)


async def discard_old(service, *, topic=TOPIC, limit=100):
    async with service.database.transaction() as unit:
        return await Parking(consumer=SERVICE).discard_old(unit, topic, keep=HOUR, limit=limit)


async def test_old_messages_are_discarded_and_the_ones_behind_go_on(offline):
    await kill(offline, 1, 2, 3)
    await kill(offline, 7, counter="b")
    await age(offline, only="log_offset < 3")
    assert await discard_old(offline) == 2
    await drain(offline.retries())
    assert await offline.effects() == [("a", 3)]
    assert await offline.query(QUEUES) == [("b", "dead")]
    assert await offline.query(WAITING) == [(7, 1)]
    assert await offline.query(ACTIONS) == [("system", "discarded", "a", CounterRaised.type)] * 2
    assert await offline.query(OUTCOMES) == [("discarded", 2), ("done", 1), ("parked", 1)]


async def test_a_duplicate_of_one_does_not_run(offline):
    await kill(offline, 1)
    await age(offline)
    assert await discard_old(offline) == 1
    await drain(offline.retries())
    await offline.runner().run(raised(1))
    assert await offline.effects() == []
    assert await offline.query(QUEUES) == []


async def test_what_cannot_be_read_or_is_of_an_unknown_type_is_discarded_too(offline):
    headers = [("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"counter.lost.v1")]
    await offline.runner().run([raw(1, headers, b"{}"), raw(2, [], b"{}", key=b"b")])
    await age(offline)
    assert await discard_old(offline) == 2
    await drain(offline.retries())
    assert await offline.query(QUEUES) == []


async def test_other_topics_and_a_further_batch_stay(offline):
    await kill(offline, 1, 2, 3)
    await age(offline)
    assert await discard_old(offline, topic="others") == 0
    assert await discard_old(offline, limit=2) == 2
    assert await offline.query(WAITING) == [(3, 0)]


async def test_a_message_that_is_being_tried_is_left_to_the_next_run(offline):
    await kill(offline, 1)
    await age(offline)
    async with offline.urls.connected() as connection:
        await connection.execute(
            "UPDATE parked_keys SET state = 'retrying', next_attempt_at = now()"
        )
    async with while_tried(offline, Switch(good=True)):
        assert await discard_old(offline) == 0
    assert await offline.effects() == [("a", 1)]
    assert await discard_old(offline) == 0
    assert await offline.query(OUTCOMES) == [("done", 1)]


async def test_between_its_snapshot_and_the_delete_a_message_may_take_effect_and_stays_done(
    offline,
):
    """The snapshot still shows the message. A lock on its row stops the statement after that."""
    await kill(offline, 1)
    await kill(offline, 5, counter="b")
    await age(offline)
    [(message_id,)] = await offline.query("SELECT id FROM parked_messages WHERE log_offset = 1")
    async with (
        offline.urls.connected() as retrying,
        asyncio.TaskGroup() as group,
        retrying.transaction(),
    ):
        await retrying.execute("DELETE FROM parked_messages WHERE log_offset = 1")
        await retrying.execute("UPDATE inbox SET outcome = 'done' WHERE id = $1", message_id)
        discarding = group.create_task(discard_old(offline))
        await until_blocked(offline)
    assert discarding.result() == 1
    assert await offline.query(ACTIONS) == [("system", "discarded", "b", CounterRaised.type)]
    assert await offline.query(OUTCOMES) == [("discarded", 1), ("done", 1)]


def test_a_topic_that_is_not_read_is_an_error_of_the_declaration():
    with pytest.raises(ValueError, match="names topics that are not read: others"):
        Subscriptions(
            handled=[Subscription(CounterRaised, record, failure=ONCE)],
            discarded_after={"others": HOUR},
        )
