"""Publishing, reading and withdrawing announcements."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from chassis.database import new_id
from notifications.announcements.jobs import prune_announcements
from notifications.announcements.models import ANNOUNCEMENTS_KEPT
from notifications.announcements.repository import AnnouncementRepository

ANNOUNCEMENTS = "/api/v1/announcements"
NOBODYS = "01900000-0000-7000-8000-000000000000"
TABLES = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""


async def rows_of(owner):
    tables = [row["relname"] for row in await owner.fetch(TABLES)]
    return {one: await owner.fetchval(f"SELECT count(*) FROM {one}") for one in tables}


async def test_an_announcement_is_returned_listed_and_audited(client, publish, author, db):
    made = await publish("Sale", body="From Monday.", data={"link": "https://example.com"})
    assert made == {
        "id": made["id"],
        "title": "Sale",
        "body": "From Monday.",
        "data": {"link": "https://example.com"},
        "author_id": made["author_id"],
        "created_at": made["created_at"],
        "expires_at": None,
        "withdrawn_at": None,
    }
    read = await client.get(f"{ANNOUNCEMENTS}/{made['id']}", headers=author)
    assert read.json() == made
    entry = await db.fetchrow("SELECT action, subject, actor_id, details::text FROM audit_log")
    assert entry["action"] == "announcement.published"
    assert entry["subject"] == f"announcement:{made['id']}"
    assert str(entry["actor_id"]) == made["author_id"]
    assert json.loads(entry["details"]) == {"title": "Sale"}


async def test_pages_of_the_list_join_newest_first(client, publish, author):
    made = [(await publish(f"No. {number}"))["id"] for number in range(5)]
    found, query = [], {"limit": 2}
    while True:
        answer = (await client.get(ANNOUNCEMENTS, headers=author, params=query)).json()
        found += [one["id"] for one in answer["items"]]
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]
    assert found == made[::-1]


async def test_a_repeated_request_with_its_key_publishes_once(client, author, db):
    answers = [
        await client.post(
            ANNOUNCEMENTS,
            json={"title": "Once", "body": "Only."},
            headers={**author, "Idempotency-Key": "one"},
        )
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["location"] == f"{ANNOUNCEMENTS}/{answers[0].json()['id']}"
    assert await db.fetchval("SELECT count(*) FROM announcements") == 1


async def test_it_writes_as_many_rows_for_100_000_users_as_for_none(publish, owner):
    await owner.execute(
        "INSERT INTO recipients (user_id, full_name, version)"
        " SELECT gen_random_uuid(), 'x', 1 FROM generate_series(1, 100000)"
    )
    before = await rows_of(owner)
    await publish()
    after = await rows_of(owner)
    added = {table: rows - before[table] for table, rows in after.items() if rows != before[table]}
    assert added == {"announcements": 1, "audit_log": 1, "audit_unsealed": 1}


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"title": ""}, "#/title"),
        ({"title": "x" * 201}, "#/title"),
        ({"body": " "}, "#/body"),
        ({"body": "x" * 2001}, "#/body"),
        ({"data": {"k": 1}}, "#/data/k"),
        ({"data": {"k": "x" * 1001}}, "#/data/k"),
        ({"data": {str(n): "x" for n in range(21)}}, "#/data"),
        ({"expires_at": "tomorrow"}, "#/expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at"),
        ({"more": 1}, "#/more"),
    ],
)
async def test_a_wrong_member_is_422_and_named(client, author, db, given, pointer):
    body = {"title": "A", "body": "B", **given}
    answer = await client.post(ANNOUNCEMENTS, json=body, headers=author)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await db.fetchval("SELECT count(*) FROM announcements") == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", ""),
        ("GET", f"/{NOBODYS}"),
        ("DELETE", f"/{NOBODYS}"),
    ],
)
async def test_without_a_token_401_and_without_the_scope_403(client, tokens, method, path):
    request = {"json": {"title": "A", "body": "B"}} if method == "POST" else {}
    assert (await client.request(method, ANNOUNCEMENTS + path, **request)).status_code == 401
    headers = tokens.headers(scopes=["notifications:read", "orders:write"])
    answer = await client.request(method, ANNOUNCEMENTS + path, headers=headers, **request)
    assert answer.status_code == 403
    assert answer.json()["scope"] == "announcements:write"


async def test_an_unknown_one_is_404(client, author):
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"{ANNOUNCEMENTS}/{new_id()}", headers=author)
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("/announcement-not-found")


async def test_a_withdrawn_one_reaches_nobody_more_and_who_has_it_keeps_it(
    client, author, publish, joined, listed, db
):
    early, late = await joined(), await joined()
    made = await publish()
    assert len(await listed(early)) == 1
    for _ in range(2):
        answer = await client.delete(f"{ANNOUNCEMENTS}/{made['id']}", headers=author)
        assert answer.status_code == 204
    assert len(await listed(early)) == 1
    assert await listed(late) == []
    read = (await client.get(f"{ANNOUNCEMENTS}/{made['id']}", headers=author)).json()
    assert read["withdrawn_at"] is not None
    actions = await db.fetch("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == [
        "announcement.published",
        "announcement.withdrawn",
    ]


async def test_an_expired_one_reaches_nobody_more(publish, joined, listed, db):
    user = await joined()
    await publish(expires_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    await db.execute("UPDATE announcements SET expires_at = now() - interval '1 second'")
    await publish("Second")
    assert [item["title"] for item in await listed(user)] == ["Second"]


async def test_old_ones_are_deleted_and_later_ones_are_still_taken_in(
    publish, joined, listed, resources, db
):
    """Numbers go on, so a user who had taken the deleted ones in gets the next one."""
    user, late = await joined(), await joined()
    await publish("Old")
    assert len(await listed(user)) == 1
    await db.execute(
        "UPDATE announcements SET created_at = created_at - $1::interval",
        ANNOUNCEMENTS_KEPT + timedelta(minutes=1),
    )
    async with resources.database.transaction() as unit:
        assert await prune_announcements(unit, 100) == 1
    assert [item["title"] for item in await listed(late)] == []
    await publish("New")
    assert [item["title"] for item in await listed(user)] == ["New", "Old"]
    assert [item["title"] for item in await listed(late)] == ["New"]


async def test_while_one_is_published_a_second_waits_so_that_numbers_commit_in_order(
    resources, publish, until_blocked, joined, listed
):
    """Between an announcement's number and its commit, another one is published."""
    user = await joined()
    async with resources.database.transaction() as unit:
        await AnnouncementRepository(unit).add(
            new_id(),
            title="First",
            body="B",
            data={},
            author_id=new_id(),
            traceparent=None,
            expires_at=None,
        )
        second = asyncio.create_task(publish("Second"))
        await until_blocked()
        assert await listed(user) == []
    await second
    assert [item["title"] for item in await listed(user)] == ["Second", "First"]
