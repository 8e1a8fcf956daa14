"""Marking all notifications as read, up to the newest that the user has seen; and their age."""

import asyncio
import json
from datetime import timedelta

import pytest

from chassis.database import new_id
from chassis.jobs import OutsideRun
from notifications.feed.models import FEED_KEPT
from notifications.notifications import jobs as notification_jobs
from notifications.notifications import service
from notifications.notifications.jobs import mark_all_read, prune_notifications
from notifications.notifications.models import NOTIFICATIONS_KEPT, MarkAllRead

LIST = "/api/v1/notifications"
PATH = f"{LIST}/read-all"


@pytest.fixture
def read_all(client, headers):
    """Mark a user's notifications as read, and return how many are unread."""

    async def post(user, **body):
        content = {"json": body} if body else {}
        answer = await client.post(PATH, headers=headers(user), **content)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"unread"}
        return answer.json()["unread"]

    return post


@pytest.fixture
def unread(client, headers):
    """Return the event ids of a user's unread notifications, newest first."""

    async def get(user):
        answer = await client.get(LIST, headers=headers(user), params={"unread": "true"})
        return [item["event_id"] for item in answer.json()["items"]]

    return get


async def test_all_of_the_caller_are_marked_and_those_of_others_are_not(
    read_all, unread, consume, placed
):
    user, other = new_id(), new_id()
    await consume(*(placed(one) for one in (user, user, other)))
    assert await read_all(user) == 0
    assert await unread(user) == []
    assert await unread(other) == [1]


async def test_what_is_newer_than_the_user_has_seen_stays_unread(read_all, unread, consume, placed):
    """It was written between the list that the user saw and their request."""
    user = new_id()
    await consume(*(placed(user) for _ in range(5)))
    assert await read_all(user, last_event_id=3) == 2
    assert await unread(user) == [5, 4]
    assert await read_all(user, last_event_id=0) == 2
    assert await read_all(user, last_event_id=9) == 0


async def test_a_repetition_changes_nothing_and_keeps_the_first_time(read_all, consume, placed, db):
    user = new_id()
    await consume(placed(user), placed(user))
    times = "SELECT read_at, updated_at FROM notifications ORDER BY event_id"
    assert await read_all(user, last_event_id=1) == 1
    first = await db.fetch(times)
    assert await read_all(user, last_event_id=1) == 1
    assert await db.fetch(times) == first
    assert await read_all(user) == 0
    assert (await db.fetch(times))[0] == first[0]


async def test_without_notifications_nothing_is_unread(read_all, db):
    assert await read_all(new_id()) == 0
    assert await db.fetchval("SELECT count(*) FROM jobs") == 0


async def test_more_than_one_request_marks_are_marked_by_a_job_but_none_that_came_later(
    read_all, unread, consume, placed, resources, db, monkeypatch
):
    monkeypatch.setattr(service, "READ_AT_ONCE", 4)
    monkeypatch.setattr(notification_jobs, "_PAGE", 2)
    user = new_id()
    await consume(*(placed(user) for _ in range(9)))
    assert await read_all(user) == 5
    assert await unread(user) == [5, 4, 3, 2, 1], "the newest are marked first"
    await consume(placed(user))
    [job] = await db.fetch("SELECT kind, arguments::text FROM jobs")
    assert job["kind"] == MarkAllRead.kind
    arguments = MarkAllRead.model_validate(json.loads(job["arguments"]))
    run = OutsideRun(resources=resources, job_id=1, attempt=1)
    for _ in range(2):
        await mark_all_read(arguments, run)
        assert await unread(user) == [10]


async def test_two_requests_and_a_read_of_one_at_once_neither_deadlock_nor_lose_one(
    client, headers, read_all, unread, consume, placed, db
):
    user = new_id()
    await consume(*(placed(user) for _ in range(50)))
    ids = await db.fetch("SELECT id FROM notifications ORDER BY event_id")
    ones = [client.post(f"{LIST}/{row['id']}/read", headers=headers(user)) for row in ids[::10]]
    await asyncio.gather(*(read_all(user) for _ in range(4)), *ones)
    assert await unread(user) == []


async def test_while_one_request_holds_a_row_another_waits_and_keeps_its_time(
    read_all, resources, consume, placed, db, until_blocked
):
    """Between the choice of the rows and their lock."""
    user = new_id()
    await consume(placed(user))
    async with resources.database.transaction() as unit:
        await unit.execute("UPDATE notifications SET read_at = '2026-01-01', version = 7")
        reading = asyncio.create_task(read_all(user))
        await until_blocked()
    assert await reading == 0
    assert (await db.fetchval("SELECT read_at FROM notifications")).year == 2026
    assert (await db.fetchval("SELECT read_at FROM notifications")).day == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"last_event_id": -1}, "#/last_event_id"),
        ({"last_event_id": "1"}, "#/last_event_id"),
        ({"last_event_id": 2**63}, "#/last_event_id"),
        ({"up_to": 1}, "#/up_to"),
    ],
)
async def test_a_wrong_body_is_422(client, headers, body, pointer):
    answer = await client.post(PATH, headers=headers(new_id()), json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_without_a_token_401_and_without_the_scope_403(client, tokens):
    assert (await client.post(PATH)).status_code == 401
    without = tokens.headers(scopes=["orders:read"])
    assert (await client.post(PATH, headers=without)).status_code == 403


async def test_old_notifications_are_deleted_the_oldest_first(consume, placed, resources, db):
    user = new_id()
    await consume(*(placed(user) for _ in range(4)))
    await db.execute(
        "UPDATE notifications SET created_at = now() - $1::interval - interval '1 day' / event_id"
        " WHERE event_id < 4",
        NOTIFICATIONS_KEPT,
    )
    for deleted, left in ((1, [2, 3, 4]), (1, [3, 4]), (1, [4]), (0, [4])):
        async with resources.database.transaction() as unit:
            assert await prune_notifications(unit, 1) == deleted
        rows = await db.fetch("SELECT event_id FROM notifications ORDER BY event_id")
        assert [row["event_id"] for row in rows] == left


def test_a_notification_is_kept_longer_than_its_item_in_the_feed():
    assert NOTIFICATIONS_KEPT > FEED_KEPT > timedelta(days=3)
