"""The inbox is pruned once Kafka has deleted the messages; rows of parked messages stay."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from chassis.database import new_id
from chassis.messaging.consuming.inbox import Inbox
from chassis.messaging.consuming.parking import RETRYING, Parking
from testkit.waiting import until

from .counting import SERVICE, CounterRaised
from .messages import message, raised, raw
from .test_parking import LOCK_WAITERS, WAITING, FailingFor

# What the consumer would save a round trip with.
BOTH = """
    WITH received AS (
        INSERT INTO inbox (consumer, source, id, outcome) VALUES ($1, $2, $3, 'done')
        ON CONFLICT (consumer, source, id) DO NOTHING RETURNING id
    )
    SELECT (SELECT count(*) FROM received), (SELECT count(*) FROM parked_keys)
"""

AGE = "UPDATE inbox SET received_at = now() - interval '5 days' WHERE id <> $1"


async def prune(service, *, consumer=SERVICE, keep=timedelta(days=4), limit=1000):
    async with service.database.transaction() as unit:
        return await Inbox(consumer=consumer).prune(unit, keep=keep, limit=limit)


async def test_rows_older_than_the_retention_go_and_younger_and_parked_ones_stay(offline):
    await offline.runner(FailingFor(2)).run([*raised(1, counter="b"), *raised(2, 3)])
    await offline.query(AGE, "")
    await offline.runner().run(raised(4, counter="b"))
    assert await prune(offline) == 1
    left = "SELECT outcome FROM inbox ORDER BY 1"
    assert await offline.query(left) == [("done",), ("parked",), ("parked",)]


async def test_another_consumers_rows_are_not_pruned(offline):
    await offline.runner().run(raised(1))
    await offline.query(AGE, "")
    assert await prune(offline, consumer="other", keep=timedelta()) == 0


async def test_the_oldest_rows_are_pruned_first_and_no_more_than_so_many(offline):
    await offline.query(
        "INSERT INTO inbox (consumer, source, id, outcome, received_at)"
        " SELECT $1, '/x', n::text, 'done', now() - n * interval '1 day'"
        " FROM generate_series(5, 9) AS n",
        SERVICE,
    )
    assert await prune(offline, limit=3) == 3
    assert await offline.query("SELECT id FROM inbox ORDER BY id") == [("5",), ("6",)]
    assert await prune(offline, limit=3) == 2


async def test_while_the_inbox_waits_another_partition_opens_the_keys_queue_and_later_messages_wait(
    offline,
):
    """A key moves to another partition once its topic has more of them; both may be in hand.

    One statement for the inbox and the parked keys would have the snapshot from before its wait.
    """
    event_id, inbox, parking = new_id(), Inbox(consumer=SERVICE), Parking(consumer=SERVICE)
    first = CounterRaised(counter="a", number=1)
    failed = offline.handling().read(message(0, first, event_id=event_id))
    moved = [message(0, first, event_id=event_id, partition=1), *raised(2, partition=1)]

    async def both_wait():
        return await offline.query(LOCK_WAITERS) == [(2,)]

    async with offline.database.transaction() as unit:
        assert await inbox.receive(unit, [failed]) == [failed]
        queue = await parking.open(unit, failed, state=RETRYING, blocking=True, delay=1000)
        await parking.append(unit, queue, failed, error=ValueError("refused"))
        running = asyncio.create_task(offline.runner().run(moved))
        joined = asyncio.create_task(offline.query(BOTH, SERVICE, failed.source, failed.id))
        await until(both_wait)
    assert await running == (2, None)
    assert await offline.effects() == []
    assert await offline.query(WAITING) == [("a", 0, 1), ("a", 2, 0)]
    assert await joined == [(0, 0)], "one statement saw the queue, so the two could be one"


async def test_a_message_without_an_id_is_new_at_an_offset_that_a_recreated_topic_uses_again(
    offline,
):
    """Its place is its identity, and the offsets of a recreated topic begin at 0 again."""
    former = replace(raw(0, [], b"former", key=b"a"), timestamp=1_790_000_000_000)
    later = replace(raw(0, [], b"later", key=b"b"), timestamp=1_790_000_600_000)
    for one in (former, former, later, later):
        assert await offline.runner().run([one]) == (1, None)
    assert await offline.query(WAITING) == [("a", 0, 1), ("b", 0, 1)]
