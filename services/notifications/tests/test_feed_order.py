"""Numbers in a feed have no gaps and become visible in their order, whoever writes at once."""

import asyncio
import random

import pytest

from chassis.database import new_id
from chassis.messaging import Wakeups
from notifications.feed.service import Entry

CHECK = """
    SELECT user_id, array_agg(event_id ORDER BY event_id) AS ids FROM feed_entries GROUP BY user_id
"""


async def numbers(db):
    return {row["user_id"]: row["ids"] for row in await db.fetch(CHECK)}


async def write(resources, users):
    async with resources.database.transaction() as session:
        feed = resources.feed(session)
        ids = await feed.take(users)
        await asyncio.sleep(random.random() / 100)
        await feed.write(
            [
                Entry(user_id=user, event_id=n, type="notification", data={}, traceparent=None)
                for user, n in zip(users, ids, strict=True)
            ]
        )
    return ids


async def test_twenty_transactions_at_once_for_one_user_leave_no_gap(resources, db):
    user = new_id()
    taken = await asyncio.gather(*(write(resources, [user] * 3) for _ in range(20)))
    assert sorted(n for ids in taken for n in ids) == list(range(1, 61))
    assert all(ids == [ids[0], ids[0] + 1, ids[0] + 2] for ids in taken)
    assert await numbers(db) == {user: list(range(1, 61))}


async def test_twenty_transactions_for_overlapping_users_neither_deadlock_nor_leave_gaps(
    resources, db
):
    users = [new_id() for _ in range(8)]
    mixed = [random.sample(users, 6) for _ in range(20)]  # each in another order
    await asyncio.gather(*(write(resources, some) for some in mixed))
    expected = {
        user: list(range(1, sum(user in some for some in mixed) + 1))
        for user in users
        if any(user in some for some in mixed)
    }
    assert await numbers(db) == expected


async def test_a_reader_never_sees_a_number_before_a_lower_one(resources, db):
    user = new_id()
    writers = asyncio.gather(*(write(resources, [user]) for _ in range(30)))
    while not writers.done():
        ids = (await numbers(db)).get(user, [])
        assert ids == list(range(1, len(ids) + 1))
    await writers
    assert (await numbers(db))[user] == list(range(1, 31))


async def test_a_rolled_back_transaction_gives_its_number_back(resources, db):
    user = new_id()

    async def fail():
        async with resources.database.transaction() as session:
            await resources.feed(session).take([user])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await write(resources, [user]) == [1]
    assert await numbers(db) == {user: [1]}


async def test_a_batch_for_very_many_users_is_hinted_in_pieces_that_notify_takes(resources):
    hints = []

    class Listening(Wakeups):
        def hint(self, channel, payload=""):
            hints.append((channel, payload))

    users = [new_id() for _ in range(450)]
    async with resources.database.transaction() as session:
        feed = resources.feed(session)
        feed._wakeups = Listening(dsn="", application_name="test")
        ids = await feed.take(users)
        await feed.write(
            [
                Entry(user_id=user, event_id=n, type="notification", data={}, traceparent=None)
                for user, n in zip(users, ids, strict=True)
            ]
        )
        assert not hints, "nothing is told before the commit"
    assert len(hints) == 3
    assert all(len(payload) < 7_900 for _, payload in hints)
    assert ",".join(payload for _, payload in hints).split(",") == [str(user) for user in users]
