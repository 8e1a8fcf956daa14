"""An announcement in the list, the count and the feed of each user, and what that costs."""

import json

import pytest

from chassis.api import create_api
from chassis.database import new_id
from contracts.examples import example, has_shape_of_example
from contracts.users import UserDeleted, UserProfileUpdated, UserRegistered
from notifications.announcements.models import MOST_MISSED
from notifications.announcements.repository import _ONE_HAS_MISSED
from notifications.declaration import SERVICE
from testkit.clients import client_of
from testkit.messages import record_of
from testkit.statements import statements_of_requests

LIST = "/api/v1/notifications"
COUNT = f"{LIST}/unread-count"


async def test_every_users_list_has_it_unread_with_a_number_of_their_own(
    consume, placed, joined, publish, listed, client, headers
):
    busy, calm = await joined(), await joined()
    await consume(placed(busy), placed(busy))
    made = await publish("Sale", data={"link": "/sale", "announcement_id": "x"})
    await consume(placed(busy))
    (item, *rest) = await listed(busy)
    assert (item["type"], item["title"], item["body"]) == ("announcement", "Sale", "Tonight.")
    assert item["data"] == {"link": "/sale", "announcement_id": made["id"]}
    assert [one["event_id"] for one in (item, *rest)] == [4, 3, 2, 1]
    assert [one["event_id"] for one in await listed(calm)] == [1]
    for user, unread in ((busy, 4), (calm, 1)):
        assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": unread}
    read = await client.post(f"{LIST}/{item['id']}/read", headers=headers(busy))
    assert read.status_code == 200
    assert (await client.get(COUNT, headers=headers(busy))).json() == {"unread": 3}


async def test_the_unread_count_alone_takes_it_in(joined, publish, client, headers):
    user = await joined()
    await publish()
    assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": 1}


async def test_a_page_in_the_middle_takes_it_in_and_stays_as_it_is(
    consume, placed, joined, publish, client, headers
):
    user = await joined()
    await consume(*(placed(user) for _ in range(3)))
    first = (await client.get(LIST, headers=headers(user), params={"limit": 2})).json()
    await publish()
    query = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await client.get(LIST, headers=headers(user), params=query)).json()
    assert [one["event_id"] for one in first["items"] + second["items"]] == [3, 2, 1]


async def test_several_come_in_their_order_each_once(joined, publish, listed):
    user = await joined()
    for number in range(3):
        await publish(f"No. {number}")
    for _ in range(2):
        items = await listed(user)
        assert [one["title"] for one in items] == ["No. 2", "No. 1", "No. 0"]
        assert [one["event_id"] for one in items] == [3, 2, 1]


async def test_who_registers_later_does_not_get_it(joined, publish, listed):
    await publish("Before")
    user = await joined()
    await publish("After")
    assert [item["title"] for item in await listed(user)] == ["After"]


async def test_the_time_of_the_registration_counts_not_that_of_its_arrival(
    publish, listed, batches
):
    user = new_id()
    registered = record_of(example(UserRegistered, user_id=user))
    await publish("Meanwhile")
    assert await listed(user) == []
    assert await batches.run([registered]) == (1, None)
    assert [item["title"] for item in await listed(user)] == ["Meanwhile"]


async def test_a_user_who_is_known_by_another_event_joins_with_that(publish, listed, consume):
    user = new_id()
    await publish("Before")
    await consume(example(UserProfileUpdated, user_id=user))
    await publish("After")
    assert [item["title"] for item in await listed(user)] == ["After"]


async def test_after_a_year_only_the_newest_are_taken_in(joined, listed, publish, fill):
    user = await joined()
    await fill(10_000)
    items = await listed(user)
    assert [int(item["title"]) for item in items] == list(range(10_000, 10_000 - MOST_MISSED, -1))
    assert [item["event_id"] for item in items] == list(range(MOST_MISSED, 0, -1))
    await publish("Next")
    assert len(await listed(user)) == MOST_MISSED + 1


async def test_a_deleted_user_gets_none(joined, publish, listed, consume, take_in, db):
    user = await joined()
    await consume(example(UserDeleted, user_id=user, version=9))
    await publish()
    await take_in(user)
    assert await listed(user) == []
    assert await db.fetchval("SELECT feed_seq FROM feed_heads WHERE user_id = $1", user) == 0


async def test_each_copy_is_announced_as_any_notification(joined, publish, take_in, db):
    users = sorted([await joined(), await joined()])
    made = await publish("Sale")
    await take_in(*users)
    rows = await db.fetch("SELECT * FROM notifications ORDER BY user_id")
    outgoing = await db.fetch("SELECT * FROM outbox ORDER BY key")
    assert [row["user_id"] for row in rows] == users
    assert len({row["id"] for row in rows} | {row["id"] for row in outgoing}) == 4
    for row, event in zip(rows, outgoing, strict=True):
        headers, payload = json.loads(event["headers"]), json.loads(event["payload"])
        assert row["source_event_id"] == made["id"]
        assert event["key"] == payload["user_id"] == str(row["user_id"])
        assert headers["ce_id"] == str(event["id"])
        assert headers["ce_subject"] == payload["notification_id"] == str(row["id"])
        assert has_shape_of_example("notification.created.v1", payload)
    items = await db.fetch("SELECT data FROM feed_entries ORDER BY user_id")
    assert [json.loads(item["data"])["id"] for item in items] == [str(row["id"]) for row in rows]


@pytest.mark.parametrize("title", ['"', "\\u0041", "{0}", "$1", "' || '", "🙂", "\u202e"])
async def test_hostile_texts_are_copied_as_they_are(joined, publish, listed, title):
    user = await joined()
    await publish(title, data={title: title})
    [item] = await listed(user)
    assert item["title"] == item["data"][title] == title


@pytest.fixture
def sent_by(settings, headers):
    """Send requests of a user to an app, and return the statements of the last."""

    async def sent(user, path, *, before):
        app = create_api(SERVICE, settings)
        async with client_of(app) as client:
            await client.get(path, headers=headers(user))
            await before()
            async with statements_of_requests(app.state.database) as statements:
                assert (await client.get(path, headers=headers(user))).status_code == 200
        return statements

    return sent


async def nothing():
    """Change nothing between two requests."""


@pytest.mark.parametrize("path", [LIST, COUNT])
@pytest.mark.parametrize("published", [0, 1, 60])
async def test_when_nothing_is_new_it_costs_one_round_trip(
    joined, fill, sent_by, consume, placed, path, published
):
    user = await joined()
    await consume(placed(user))
    await fill(published)
    sent = await sent_by(user, path, before=nothing)
    assert len(sent) == 2


@pytest.mark.parametrize("count", [1, 60])
async def test_what_is_new_costs_four_statements_however_many(joined, fill, sent_by, count):
    user = await joined()
    sent = await sent_by(user, LIST, before=lambda: fill(count))
    assert len(sent) == 4 + len(["the look", "BEGIN", "the list", "COMMIT"])


@pytest.mark.parametrize("count", [20_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_the_look_reads_an_index_for_each_table_however_many_rows(joined, fill, owner, count):
    user = await joined()
    await owner.execute(
        "INSERT INTO recipients (user_id, full_name, version)"
        f" SELECT gen_random_uuid(), 'x', 1 FROM generate_series(1, {count})"
    )
    await owner.execute(
        "INSERT INTO feed_heads (user_id, feed_seq) SELECT user_id, 1 FROM recipients"
        " ON CONFLICT DO NOTHING"
    )
    await fill(count // 100)
    await owner.execute("ANALYZE recipients, feed_heads, announcements")
    plan = await owner.fetch(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
        + _ONE_HAS_MISSED.replace("$1", f"'{user}'")
    )
    [found] = json.loads(plan[0][0])
    assert "Seq Scan" not in json.dumps(found)
    assert found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"] < 20


async def test_who_has_switched_announcements_off_gets_none_and_only_later_ones_after_that(
    joined, publish, take_in, listed, db
):
    muted, other = await joined(), await joined()
    await db.execute(
        "INSERT INTO preferences (user_id, muted) VALUES ($1, '{announcements.in_app}')", muted
    )
    await publish("First")
    await take_in(muted, other)
    assert await listed(muted) == []
    assert len(await listed(other)) == 1
    await db.execute("UPDATE preferences SET muted = '{}' WHERE user_id = $1", muted)
    assert await listed(muted) == []
    await publish("Second")
    [item] = await listed(muted)
    assert (item["title"], item["event_id"]) == ("Second", 1)


async def test_reading_all_takes_in_before_and_leaves_none_unread(joined, publish, client, headers):
    user = await joined()
    await publish()
    answer = await client.post(f"{LIST}/read-all", headers=headers(user))
    assert answer.json() == {"unread": 0}
    assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": 0}
