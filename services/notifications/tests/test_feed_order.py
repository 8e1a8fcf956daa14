"""A feed's numbers have no gaps and become visible in order, with any concurrent writers."""

import asyncio
import random

import asyncpg
import pytest

from chassis.database import Connector, new_id
from chassis.messaging import Wakeups
from notifications.feed.wiring import feed as feed_of
from notifications.notifications.wiring import notifier as notifier_of

DATA = {"order_id": "1"}
CHECK = """
    SELECT user_id, array_agg(event_id ORDER BY event_id) AS ids FROM feed_entries GROUP BY user_id
"""


async def numbers(db):
    return {row["user_id"]: row["ids"] for row in await db.fetch(CHECK)}


def notify(notifier, users):
    for user in users:
        notifier.notify("order.placed", user_id=user, source_event_id=str(new_id()), data=DATA)


def numbered(notices):
    return [(notice.user_id, notice.event_id) for notice in notices]


async def write(resources, users):
    """Write an item for each of `users`; return their ids in the same order."""
    async with resources.database.transaction() as unit:
        notifier = notifier_of(resources, unit)
        notify(notifier, users)
        written = await notifier.write_all()
        await asyncio.sleep(random.random() / 100)
    assert [notice.user_id for notice in written] == list(users)
    return [notice.event_id for notice in written]


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
    mixed = [random.sample(users, 6) for _ in range(20)]  # each writer in another order
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
        async with resources.database.transaction() as unit:
            notifier = notifier_of(resources, unit)
            notify(notifier, [user])
            assert numbered(await notifier.write_all()) == [(user, 1)]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await write(resources, [user]) == [1]
    assert await numbers(db) == {user: [1]}


async def test_a_batch_for_very_many_users_is_hinted_in_pieces_that_notify_takes(resources):
    hints = []

    class Listening(Wakeups):
        def hint(self, channel, payload="", **_):
            hints.append((channel, payload))

    users = [new_id() for _ in range(450)]
    async with resources.database.transaction() as unit:
        feed = feed_of(resources, unit)
        feed._wakeups = Listening(connector=Connector.to(""), application_name="test")
        feed.announce_items(users)
        assert not hints, "nothing is told before the commit"
    assert len(hints) == 3
    assert all(len(payload) < 7_900 for _, payload in hints)
    assert ",".join(payload for _, payload in hints).split(",") == [str(user) for user in users]


async def test_between_one_transactions_statement_and_its_commit_another_writes_the_same_event(
    resources, db, until_blocked
):
    """The second does not see the first one's row: it fails, and leaves neither row nor gap."""
    user, event = new_id(), str(new_id())

    async def write_same(unit):
        notifier = notifier_of(resources, unit)
        notifier.notify("order.placed", user_id=user, source_event_id=event, data=DATA)
        return numbered(await notifier.write_all())

    async def second():
        async with resources.database.transaction() as unit:
            return await write_same(unit)

    async with resources.database.transaction() as unit:
        assert await write_same(unit) == [(user, 1)]
        late = asyncio.create_task(second())
        await until_blocked()
    with pytest.raises(asyncpg.UniqueViolationError):
        await late
    assert await second() == []
    assert await write(resources, [user]) == [2]
    assert await numbers(db) == {user: [1, 2]}
    assert await db.fetchval("SELECT count(*) FROM outbox") == 2
