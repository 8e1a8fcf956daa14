"""A deleted account: its data are erased, and nothing is written or pushed for it afterwards."""

import asyncio
import json

import pytest

from chassis.database import new_id
from chassis.jobs import OutsideRun
from contracts.examples import example
from contracts.orders import OrderCancelled
from contracts.users import (
    UserDeleted,
    UserEmailChanged,
    UserEmailVerified,
    UserProfileUpdated,
    UserRegistered,
    UserSnapshot,
)
from notifications.kinds.models import Channel
from notifications.notifications.jobs import erase_user_data
from notifications.outcomes.models import ChannelOutcome
from notifications.outcomes.wiring import outcomes
from notifications.preferences.models import Preferences
from notifications.preferences.wiring import preferences
from notifications.recipients.models import EraseUserData
from testkit.messages import record_of

ROWS = ("notifications", "feed_entries")
PREFERENCES = "/api/v1/notifications/preferences"


@pytest.fixture
def erase(resources, db):
    """Run the jobs that were enqueued, and return their number."""

    async def run():
        jobs = await db.fetch(
            "DELETE FROM jobs WHERE kind = $1 RETURNING arguments::text", EraseUserData.kind
        )
        for job in jobs:
            arguments = EraseUserData.model_validate(json.loads(job["arguments"]))
            await erase_user_data(arguments, OutsideRun(resources=resources, job_id=1, attempt=1))
        return len(jobs)

    return run


async def rows_of(db, user):
    return [
        await db.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user)
        for table in ROWS
    ]


def deleted(user, version=9):
    return example(UserDeleted, user_id=user, version=version)


async def test_the_data_of_a_deleted_account_are_erased_and_those_of_others_stay(
    consume, placed, erase, db
):
    user, other = new_id(), new_id()
    for one in (user, other):
        await consume(example(UserRegistered, user_id=one), partition=1)
        await consume(placed(one), placed(one))
    await consume(deleted(user))
    assert await erase() == 1
    assert await rows_of(db, user) == [0, 0]
    assert await rows_of(db, other) == [2, 2]
    row = await db.fetchrow(
        "SELECT email, full_name, version FROM recipients WHERE user_id=$1", user
    )
    assert tuple(row) == (None, "", 9)
    left = await db.fetch("SELECT to_jsonb(r)::text AS row FROM recipients AS r")
    assert sum("ada@example.com" in row["row"] for row in left) == 1


async def test_after_the_deletion_no_event_of_an_order_writes_or_publishes_anything(
    consume, placed, erase, db
):
    """The orders service cancels the open orders of the account, and announces that."""
    user, other = new_id(), new_id()
    await consume(placed(user))
    await consume(deleted(user), partition=1)
    await db.execute("DELETE FROM outbox")
    cancelled = example(OrderCancelled, customer_id=user, order_id=new_id())
    assert await consume(cancelled, placed(user), placed(other)) == (3, None)
    assert await db.fetchval("SELECT array_agg(key) FROM outbox") == [str(other)]
    await erase()
    assert await consume(placed(user)) == (1, None)
    assert await rows_of(db, user) == [0, 0]
    assert await rows_of(db, other) == [1, 1]
    assert await db.fetchval("SELECT feed_seq FROM feed_heads WHERE user_id = $1", user) == 1


async def test_an_open_socket_of_a_deleted_account_gets_nothing_more(feed, consume, placed, erase):
    user, other = new_id(), new_id()
    async with feed(user) as socket, feed(other) as others:
        await consume(placed(user))
        await socket.ids(1)
        await consume(deleted(user), partition=1)
        await consume(placed(user), placed(other))
        await erase()
        assert await others.ids(1) == [1]
        with pytest.raises(TimeoutError):
            await socket.next(seconds=0.5)


async def test_the_preferences_of_a_deleted_account_go_and_cannot_come_back(
    client, headers, consume, erase, db
):
    """Its access token is valid until the end of its session has arrived everywhere."""
    user, other = new_id(), new_id()
    chosen = {"orders": {"email": False}, "locale": "de"}
    for one in (user, other):
        answer = await client.put(PREFERENCES, headers=headers(one), json=chosen)
        assert answer.status_code == 200
    await consume(deleted(user))
    assert await erase() == 1
    for one, status in ((user, 404), (new_id(), 200), (other, 200)):
        answer = await client.put(PREFERENCES, headers=headers(one), json=chosen)
        assert answer.status_code == status, answer.text
    row = await db.fetchrow("SELECT * FROM preferences WHERE user_id = $1", user)
    assert (row["muted"], row["locale"], row["is_closed"]) == ([], None, True)
    assert await db.fetchval("SELECT muted FROM preferences WHERE user_id = $1", other)


async def test_while_preferences_are_changed_the_deletion_waits_and_then_erases_them(
    consume, resources, db, until_blocked
):
    """Between the lock of the preferences and their commit."""
    user = new_id()
    async with resources.database.transaction() as unit:
        mine = Preferences(muted=frozenset(), locale="de")
        await preferences(resources, unit).replace(user, mine, expected=[])
        deleting = asyncio.create_task(consume(deleted(user)))
        await until_blocked()
    assert await deleting == (1, None)
    row = await db.fetchrow("SELECT locale, is_closed FROM preferences")
    assert tuple(row) == (None, True)


async def test_a_deletion_in_a_batch_takes_effect_between_its_neighbours(consume, erase, db):
    user, other = new_id(), new_id()
    before, after = [example(UserRegistered, user_id=one) for one in (user, other)]
    assert await consume(before, deleted(user), after) == (3, None)
    assert await erase() == 1
    rows = await db.fetch("SELECT user_id, email FROM recipients ORDER BY email NULLS FIRST")
    assert [tuple(row) for row in rows] == [(user, None), (other, "ada@example.com")]


@pytest.mark.parametrize(
    "late",
    [
        example(UserRegistered, version=1),
        example(UserProfileUpdated, version=3),
        example(UserEmailChanged, version=4),
        example(UserSnapshot, version=8),
        example(UserDeleted, version=9),
    ],
    ids=lambda event: event.type,
)
async def test_an_older_event_that_comes_late_brings_nothing_back(consume, erase, db, late):
    """It was parked, and an operator redrives it after the deletion."""
    user = new_id()
    await consume(deleted(user, version=9))
    assert await erase() == 1
    assert await consume(late.model_copy(update={"user_id": user})) == (1, None)
    assert await erase() == 0
    row = await db.fetchrow("SELECT email, full_name, version FROM recipients")
    assert tuple(row) == (None, "", 9)


async def test_an_account_that_nothing_is_known_of_is_closed_as_well(consume, placed, erase, db):
    user = new_id()
    assert await consume(deleted(user)) == (1, None)
    assert await erase() == 1
    await consume(placed(user), partition=1)
    assert await rows_of(db, user) == [0, 0]


async def test_while_a_notification_waits_for_the_feed_the_feed_is_closed(
    consume, placed, owner, db, until_blocked
):
    """Between the snapshot of the statement and its lock: the statement sees no deletion."""
    user, other = new_id(), new_id()
    await consume(placed(user))
    async with owner.transaction():
        await owner.execute("UPDATE feed_heads SET is_closed = true WHERE user_id = $1", user)
        writing = asyncio.create_task(consume(placed(user), placed(other)))
        await until_blocked()
    assert await writing == (2, None)
    assert await rows_of(db, user) == [1, 1]
    assert await rows_of(db, other) == [1, 1]


async def test_while_a_notification_is_written_the_deletion_waits_and_then_erases_it(
    consume, placed, erase, resources, db, until_blocked
):
    """Between the lock of the feed and the commit of a notification."""
    user = new_id()
    await consume(placed(user))
    async with resources.database.transaction() as unit:
        await unit.execute("UPDATE feed_heads SET feed_seq = 2 WHERE user_id = $1", user)
        await unit.execute(
            "INSERT INTO feed_entries (user_id, event_id, type, data)"
            " VALUES ($1, 2, 'notification', '{}')",
            user,
        )
        deleting = asyncio.create_task(consume(deleted(user), partition=1))
        await until_blocked()
        assert not deleting.done()
    assert await deleting == (1, None)
    assert await erase() == 1
    assert await rows_of(db, user) == [0, 0]


async def test_the_counts_of_outcomes_of_a_deleted_account_go(consume, erase, resources, db):
    user, other = new_id(), new_id()
    for one in (user, other):
        done = ChannelOutcome(notification_id=new_id(), user_id=one, channel=Channel.EMAIL)
        async with resources.database.transaction() as unit:
            await outcomes(resources, unit).announce([done])
    await consume(deleted(user))
    assert await erase() == 1
    assert await db.fetchval("SELECT array_agg(user_id) FROM outcomes") == [other]


async def test_more_rows_than_a_page_are_erased_by_a_job_that_was_killed_before(
    consume, placed, erase, resources, db
):
    """It may be killed between two pages, and runs again."""
    user = new_id()
    await consume(*(placed(user) for _ in range(10)))
    await db.execute(
        "INSERT INTO notifications"
        " (id, user_id, event_id, source_event_id, type, title, body, data)"
        " SELECT gen_random_uuid(), $1, 100 + n, n::text, 't', 't', 'b', '{}'"
        " FROM generate_series(1, 2300) AS n",
        user,
    )
    await consume(deleted(user), partition=1)
    await db.execute("DELETE FROM feed_entries WHERE user_id = $1 AND event_id < 5", user)
    assert await erase() == 1
    assert await rows_of(db, user) == [0, 0]
    run = OutsideRun(resources=resources, job_id=1, attempt=2)
    await erase_user_data(EraseUserData(user_id=user), run)


async def test_mails_that_were_sent_are_erased_page_by_page_and_those_that_wait_at_once(
    consume, erase, db
):
    user, other = new_id(), new_id()
    await db.execute(
        "INSERT INTO mails (id, user_id, source_event_id, kind, locale, state, expires_at,"
        " settled_at) SELECT gen_random_uuid(), CASE n WHEN 0 THEN $2::uuid ELSE $1::uuid END,"
        " n::text, 'k', 'en', 'sent', now(), now() FROM generate_series(0, 2300) AS n",
        user,
        other,
    )
    await db.execute(
        "INSERT INTO mails (id, user_id, source_event_id, kind, locale, recipient, expires_at)"
        " VALUES (gen_random_uuid(), $1, 'w', 'k', 'en', 'ada@example.com', now())",
        user,
    )
    await consume(deleted(user))
    assert await db.fetchval("SELECT count(*) FROM mails WHERE recipient IS NOT NULL") == 0
    assert await erase() == 1
    assert await db.fetchval("SELECT array_agg(user_id) FROM mails") == [other]


async def test_dead_messages_of_the_account_are_overtaken_and_erased(batches, erase, db):
    user, other = new_id(), new_id()
    records = [
        record_of(
            example(UserRegistered, user_id=one),
            value=json.dumps({"user_id": str(one), "email": "ada@example.com"}).encode(),
            offset=offset,
        )
        for offset, one in enumerate((user, other))
    ]
    records.append(record_of(example(UserEmailVerified, user_id=user), offset=2))
    records.append(record_of(deleted(user), offset=3))
    assert await batches.run(records) == (4, None)
    assert await erase() == 1
    rows = await db.fetch("SELECT key FROM parked_messages")
    assert [row["key"].decode() for row in rows] == [str(other)]
