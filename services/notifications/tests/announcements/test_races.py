"""Announcements are taken in once and without gap, whatever happens at the same time."""

import asyncio
import random

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import UserDeleted
from notifications.announcements.repository import AnnouncementRepository
from notifications.notifications.jobs import AnnouncementReader
from notifications.notifications.wiring import intake as intake_of

NUMBERS = "SELECT array_agg(event_id ORDER BY event_id) FROM feed_entries WHERE user_id = $1"


@pytest.fixture
def numbers(db):
    """Return the numbers of a user's items, and check that list and head agree with them."""

    async def read(user):
        found = await db.fetchval(NUMBERS, user) or []
        kept = await db.fetch(
            "SELECT event_id FROM notifications WHERE user_id = $1 ORDER BY event_id", user
        )
        head = await db.fetchval("SELECT feed_seq FROM feed_heads WHERE user_id = $1", user)
        assert [row["event_id"] for row in kept] == found
        assert (head or 0) == len(found)
        return found

    return read


@pytest.mark.parametrize("with_head", [False, True])
async def test_while_one_transaction_has_taken_in_and_not_committed_a_second_waits_and_writes_none(
    joined, publish, resources, take_in, until_blocked, numbers, with_head
):
    """Two replicas hold a socket of one user; the user may never have had a notification."""
    user = await joined()
    if with_head:
        await publish("Before")
        await take_in(user)
    await publish()
    async with resources.database.transaction() as unit:
        await intake_of(resources, unit).take_in([user])
        second = asyncio.create_task(take_in(user))
        await until_blocked()
    await second
    assert await numbers(user) == list(range(1, 2 + with_head))


async def test_while_one_transaction_has_marked_its_users_a_second_waits_and_then_finds_none(
    joined, publish, resources, until_blocked
):
    """Between the snapshot of the statement that marks and its lock."""
    user = await joined()
    await publish()

    async def advance():
        async with resources.database.transaction() as unit:
            announcements = AnnouncementRepository(unit)
            newest = await announcements.newest()
            return await announcements.advance([user], newest=newest)

    assert [one.user_id for one in await advance()] == [user]
    await publish()
    async with resources.database.transaction() as unit:
        announcements = AnnouncementRepository(unit)
        assert await announcements.advance([user], newest=await announcements.newest())
        second = asyncio.create_task(advance())
        await until_blocked()
    assert await second == []


@pytest.mark.parametrize("with_head", [False, True])
async def test_while_the_intake_waits_for_a_users_head_it_holds_none_of_a_later_user(
    joined, publish, placed, consume, owner, take_in, until_blocked, with_head
):
    """A worker that holds the first head, and wants the second one, would wait in a circle."""
    first, second = sorted([await joined(), await joined()])
    await consume(placed(first), *([placed(second)] if with_head else []))
    await publish()
    async with owner.transaction():
        await owner.execute("SELECT FROM feed_heads WHERE user_id = $1 FOR UPDATE", first)
        taking = asyncio.create_task(take_in(second, first))
        await until_blocked()
        await owner.execute("SET LOCAL lock_timeout = '5s'")
        await owner.execute(
            "INSERT INTO feed_heads (user_id, feed_seq) VALUES ($1, 0)"
            " ON CONFLICT (user_id) DO UPDATE SET updated_at = now()",
            second,
        )
    await taking


async def test_between_the_reading_of_announcements_and_the_lock_another_takes_in_a_newer_one(
    joined, publish, resources, take_in, numbers
):
    """The older reading then advances nothing, and never moves a feed back."""
    user = await joined()
    await publish("First")
    async with resources.database.transaction() as unit:
        announcements = AnnouncementRepository(unit)
        [first] = await announcements.recent()
        await publish("Second")
        await take_in(user)
        assert await announcements.advance([user], newest=first.seq) == []
    await take_in(user)
    assert await numbers(user) == [1, 2]


async def test_between_the_reading_of_announcements_and_the_lock_another_takes_in_the_older_one(
    joined, publish, resources, take_in, numbers
):
    """The reading has two, of which the feed has taken one in when the lock is granted."""
    user = await joined()
    await publish("First")
    async with resources.database.transaction() as unit:
        await intake_of(resources, unit).take_in([user])
        await publish("Second")
        second = asyncio.create_task(take_in(user))
        await asyncio.sleep(0)
    await second
    assert await numbers(user) == [1, 2]


async def test_while_a_notification_is_written_the_announcement_waits_and_comes_after_it(
    joined, publish, placed, consume, resources, take_in, until_blocked, numbers
):
    user = await joined()
    await publish()
    async with resources.database.transaction() as unit:
        await intake_of(resources, unit).take_in([user])
        writing = asyncio.create_task(consume(placed(user)))
        await until_blocked()
    assert await writing == (1, None)
    await publish()
    async with resources.database.transaction() as unit:
        await unit.execute("SELECT FROM feed_heads WHERE user_id = $1 FOR UPDATE", user)
        taking = asyncio.create_task(take_in(user))
        await until_blocked()
    await taking
    assert await numbers(user) == [1, 2, 3]


async def test_between_the_look_and_the_intake_the_account_is_deleted(
    joined, publish, consume, resources, numbers
):
    user = await joined()
    await publish()
    async with resources.database.transaction() as unit:
        assert await AnnouncementRepository(unit).has_missed(user)
        await consume(example(UserDeleted, user_id=user, version=9))
        await intake_of(resources, unit).take_in([user])
        assert not await AnnouncementRepository(unit).has_missed(user)
    assert await numbers(user) == []


async def test_while_the_intake_waits_for_the_feed_the_feed_is_closed(
    joined, publish, placed, consume, owner, take_in, until_blocked, numbers
):
    """Between the snapshot of the statement that locks and its lock."""
    user, other = await joined(), await joined()
    await consume(placed(user))
    await publish()
    async with owner.transaction():
        await owner.execute("UPDATE feed_heads SET is_closed = true WHERE user_id = $1", user)
        taking = asyncio.create_task(take_in(user, other))
        await until_blocked()
    await taking
    assert await numbers(user) == [1]
    assert await numbers(other) == [1]


async def test_while_the_intake_is_not_committed_the_deletion_waits_and_closes_after_it(
    joined, publish, consume, resources, until_blocked, numbers, db
):
    user = await joined()
    await publish()
    async with resources.database.transaction() as unit:
        await intake_of(resources, unit).take_in([user])
        deleting = asyncio.create_task(consume(example(UserDeleted, user_id=user, version=9)))
        await until_blocked()
    assert await deleting == (1, None)
    assert await numbers(user) == [1]
    assert await db.fetchval("SELECT is_closed FROM feed_heads WHERE user_id = $1", user)


async def test_an_intake_that_fails_leaves_neither_row_nor_gap_nor_mark(
    joined, publish, resources, take_in, numbers
):
    """Between the mark in the head and the commit."""
    user = await joined()
    await publish()

    async def fail():
        async with resources.database.transaction() as unit:
            await intake_of(resources, unit).take_in([user])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await numbers(user) == []
    await take_in(user)
    assert await numbers(user) == [1]


async def test_requests_of_one_user_at_once_take_it_in_once(joined, publish, listed, numbers):
    user = await joined()
    await publish()
    found = await asyncio.gather(*(listed(user) for _ in range(10)))
    assert {item["id"] for items in found for item in items} == {found[0][0]["id"]}
    assert await numbers(user) == [1]


async def test_publishing_taking_in_and_notifying_at_once_neither_deadlock_nor_leave_gaps(
    joined, publish, placed, consume, take_in, numbers, db
):
    """Some users have no head yet; each transaction takes its users in an order of its own."""
    users = [await joined() for _ in range(6)]
    await consume(placed(users[0]), placed(users[3]))

    async def notify(number):
        mixed = random.sample(users, 4)
        await consume(*(placed(user) for user in mixed), partition=10 + number)

    async def take():
        await take_in(*random.sample(users, 5))

    await asyncio.gather(
        *(publish(str(number)) for number in range(4)),
        *(notify(number) for number in range(8)),
        *(take() for _ in range(12)),
    )
    await take_in(*users)
    for user in users:
        found = await numbers(user)
        assert found == list(range(1, len(found) + 1))
        kinds = await db.fetch(
            "SELECT title FROM notifications WHERE user_id = $1 AND type = 'announcement'", user
        )
        assert sorted(row["title"] for row in kinds) == ["0", "1", "2", "3"]


async def test_between_the_newest_number_and_the_list_of_users_another_one_is_published(
    joined, publish, resources, monkeypatch, db
):
    """A user who connects at that moment has taken in no more than the newest that was read.

    The number that the process has seen must not be higher, or no poll would find the other one.
    """
    user = await joined()
    reader = AnnouncementReader(resources=resources, connected=lambda: [user])
    newest = AnnouncementRepository.newest

    async def and_then_publish(self):
        read = await newest(self)
        await publish("Second")
        return read

    await publish("First")
    monkeypatch.setattr(AnnouncementRepository, "newest", and_then_publish)
    await reader.take_in()
    first = await db.fetchval("SELECT min(seq) FROM announcements")
    assert reader.seen == first < await db.fetchval("SELECT max(seq) FROM announcements")


async def test_an_intake_of_a_process_that_fails_half_way_is_repeated_for_all(
    joined, publish, resources, monkeypatch, numbers
):
    """Between two pages of users, PostgreSQL is unavailable: nobody counts as having seen it."""
    users = [await joined() for _ in range(3)]
    await publish()
    reader = AnnouncementReader(resources=resources, connected=lambda: [*users, new_id()])
    monkeypatch.setattr("notifications.notifications.jobs._USERS", 2)
    advance, calls = AnnouncementRepository.advance, 0

    async def fail_once(self, some, *, newest):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionResetError
        return await advance(self, some, newest=newest)

    monkeypatch.setattr(AnnouncementRepository, "advance", fail_once)
    with pytest.raises(ConnectionResetError):
        await reader.take_in()
    assert reader.seen == 0
    await reader.take_in()
    assert reader.seen > 0
    assert [await numbers(user) for user in users] == [[1], [1], [1]]
