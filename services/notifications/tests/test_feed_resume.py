"""Where a feed starts after a reconnect: no item is missed or sent twice, whatever happens."""

import asyncio
import time
from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from chassis.database import new_id
from notifications.feed.jobs import FeedReader, prune_feed
from notifications.feed.models import FEED_KEPT
from notifications.feed.repository import FeedRepository
from notifications.feed.service import PAGE, Connection
from notifications.feed.wiring import feed as feed_of
from notifications.notifications.jobs import AnnouncementReader


@pytest.fixture
def prune(resources):
    async def pruned():
        async with resources.database.transaction() as unit:
            return await prune_feed(unit, 100)

    return pruned


async def test_without_an_id_the_feed_begins_now(feed, consume, placed):
    user = new_id()
    await consume(placed(user), placed(user))
    async with feed(user, ready=2) as socket:
        await consume(placed(user))
        assert await socket.ids(1) == [3]


@pytest.mark.parametrize("last", [2, "2", "0002"])
async def test_a_resumed_feed_brings_exactly_what_was_missed(feed, consume, placed, last):
    user = new_id()
    async with feed(user) as socket:
        await consume(placed(user), placed(user))
        assert await socket.ids(2) == [1, 2]
    await consume(placed(user), placed(user), placed(user))
    async with feed(user, last_event_id=last, ready=2) as socket:
        assert await socket.ids(3) == [3, 4, 5]
        await consume(placed(user))
        assert await socket.ids(1) == [6]


async def test_zero_brings_everything_in_pages(feed, consume, placed):
    user, count = new_id(), 3 * PAGE + 7
    await consume(*(placed(user) for _ in range(count)))
    async with feed(user, last_event_id=0, ready=0) as socket:
        assert await socket.ids(count) == list(range(1, count + 1))


async def test_one_socket_far_behind_does_not_hold_up_another(feed, consume, placed):
    user, count = new_id(), 2 * PAGE
    await consume(*(placed(user) for _ in range(count)))
    async with feed(user, last_event_id=0) as behind, feed(user) as live:
        await consume(placed(user))
        assert await live.ids(1) == [count + 1]
        assert await behind.ids(count + 1) == list(range(1, count + 2))


async def test_the_newest_id_causes_no_reset(feed, consume, placed):
    user = new_id()
    await consume(placed(user))
    async with feed(user, last_event_id=1, ready=1) as socket:
        await consume(placed(user))
        assert await socket.ids(1) == [2]


@pytest.mark.parametrize("last", [3, "99", 2**63, "9" * 40])
async def test_an_id_that_was_never_sent_resets_and_the_feed_goes_on_from_now(
    feed, consume, placed, last
):
    user = new_id()
    await consume(placed(user), placed(user))
    async with feed(user, last_event_id=last, ready=2) as socket:
        assert await socket.next() == {"type": "reset"}
        await consume(placed(user))
        assert await socket.ids(1) == [3]


async def test_an_id_older_than_what_is_kept_resets_and_zero_does_not(feed, consume, placed, db):
    user = new_id()
    await consume(*(placed(user) for _ in range(5)))
    await db.execute("DELETE FROM feed_entries WHERE user_id = $1 AND event_id <= 3", user)
    async with feed(user, last_event_id=2, ready=5) as socket:
        assert await socket.next() == {"type": "reset"}
    async with feed(user, last_event_id=3, ready=3) as socket:
        assert await socket.ids(2) == [4, 5]
    async with feed(user, last_event_id=0, ready=3) as socket:
        assert await socket.ids(2) == [4, 5]
    await db.execute("DELETE FROM feed_entries WHERE user_id = $1", user)
    async with feed(user, last_event_id=0, ready=5), feed(user, last_event_id=5, ready=5):
        pass


async def test_a_client_that_reconnects_all_the_time_misses_nothing(feed, consume, placed):
    user = new_id()
    seen: list[int] = []

    async def produce():
        for _ in range(40):
            await consume(placed(user))

    async def follow():
        while len(seen) < 40:
            async with feed(user, last_event_id=seen[-1] if seen else 0) as socket:
                seen.extend(await socket.ids(min(3, 40 - len(seen))))

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(follow())
    assert seen == list(range(1, 41))


async def test_an_item_without_a_hint_comes_with_the_next_poll(feed, db):
    user = new_id()
    async with feed(user) as socket:
        await db.execute("INSERT INTO feed_heads VALUES ($1, 1)", user)
        await db.execute("INSERT INTO feed_entries VALUES ($1, 1, 'notification', '{}')", user)
        assert await socket.next() == {"type": "notification", "event_id": 1, "data": {}}


async def test_items_whose_hints_are_lost_with_the_listeners_connection_arrive_by_a_poll(
    feed, consume, placed, database
):
    user = new_id()
    admin = await asyncpg.connect(database.superuser_url)
    async with feed(user) as socket:
        killed = await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name LIKE '%-feed' AND datname = current_database()"
        )
        await consume(placed(user))
        assert await socket.ids(1) == [1]
        await asyncio.sleep(1.2)  # the listener waits this long before it reconnects
        await consume(placed(user))
        assert await socket.ids(1) == [2]
    await admin.close()
    assert killed


async def test_late_and_senseless_hints_send_nothing_twice(feed, consume, placed, db):
    user = new_id()
    async with feed(user) as socket:
        await consume(placed(user))
        assert await socket.ids(1) == [1]
        for payload in (str(user), f"{user},{user}", "", "no-user", f"{new_id()},,{user}"):
            await db.execute("SELECT pg_notify('notifications_feed', $1)", payload)
        await consume(placed(user))
        assert await socket.ids(1) == [2]
        with pytest.raises(TimeoutError):
            await socket.next(seconds=0.3)


async def test_a_socket_that_stalls_is_closed_with_1013_and_resumes_where_it_was(
    serve, tokens, db, eventually
):
    user, count = new_id(), 2000
    await db.execute("INSERT INTO feed_heads VALUES ($1, $2)", user, count)
    await db.execute(
        "INSERT INTO feed_entries SELECT $1, n, 'notification',"
        " jsonb_build_object('x', repeat('x', 8000)) FROM generate_series(1, $2::int) AS n",
        user,
        count,
    )
    token = tokens.token(subject=user, scopes=["notifications:read"])
    seen: list[int] = []
    async with serve(feed_stall_seconds=0.3) as server:
        async with server.open(max_queue=4) as socket:
            await socket.send(type="auth", token=token, last_event_id=0)
            await socket.next()
            await eventually(lambda: not server.connections.places())
            while (received := await socket.next())["type"] == "notification":
                seen.append(received["event_id"])
            assert received["type"] == "error"
            assert await socket.closed() == 1013
        assert seen == list(range(1, len(seen) + 1))
        assert 0 < len(seen) < count
        async with server.open() as socket:
            await socket.send(type="auth", token=token, last_event_id=seen[-1])
            await socket.next()
            missed = await socket.ids(count - len(seen))
    assert seen + missed == list(range(1, count + 1))


@pytest.fixture
async def reading(resources, connections):
    """A reader that the test steps by hand; its task never runs by itself."""
    reader = FeedReader(
        connections=connections,
        database=resources.database,
        verifier=resources.verifier,
        announcements=AnnouncementReader(resources=resources, connected=connections.users),
        poll_seconds=3600,
    )
    reader._poll_at = time.monotonic() + 3600
    async with resources.database.reading() as unit:
        yield connections, partial(reader._read, FeedRepository(unit))


async def started(resources, user, last=None):
    async with resources.database.transaction() as unit:
        return (await feed_of(resources, unit).find_start(user, last)).position


async def ids(connections, connection):
    async with asyncio.timeout(1):
        return [item.event_id for item in await connections.next_items(connection)]


async def test_an_item_between_joining_and_reading_the_start_lies_before_the_start(
    reading, resources, consume, placed, principal
):
    connections, read = reading
    connection = Connection(principal=principal())
    with connections.joined(connection):
        await consume(placed(connection.user_id))
        connections.hint(str(connection.user_id))
        await read()
        connections.place(connection, await started(resources, connection.user_id))
        await read()
        await consume(placed(connection.user_id))
        connections.hint(str(connection.user_id))
        await read()
        assert await ids(connections, connection) == [2]


async def test_an_item_between_reading_the_start_and_its_placing_is_sent_without_a_further_hint(
    reading, resources, consume, placed, principal
):
    connections, read = reading
    connection = Connection(principal=principal())
    with connections.joined(connection):
        start = await started(resources, connection.user_id)
        await consume(placed(connection.user_id))
        connections.hint(str(connection.user_id))
        await read()
        connections.place(connection, start)
        await read()
        assert await ids(connections, connection) == [1]


async def test_items_that_come_while_a_page_waits_for_its_writer_are_read_after_it(
    reading, consume, placed, principal
):
    connections, read = reading
    connection = Connection(principal=principal())
    with connections.joined(connection):
        connections.place(connection, 0)
        await consume(placed(connection.user_id))
        await read()
        await consume(placed(connection.user_id), placed(connection.user_id))
        connections.hint(str(connection.user_id))
        await read()
        assert await ids(connections, connection) == [1]
        await read()
        assert await ids(connections, connection) == [2, 3]


async def test_a_socket_never_holds_more_than_a_page_that_waits(
    reading, consume, placed, principal
):
    connections, read = reading
    connection = Connection(principal=principal())
    with connections.joined(connection):
        connections.place(connection, 0)
        await consume(*(placed(connection.user_id) for _ in range(PAGE * 2 + 1)))
        for _ in range(3):
            connections.hint(str(connection.user_id))
            await read()
        assert len(connection._waiting) == PAGE
        found: list[int] = []
        while len(found) < PAGE * 2 + 1:
            found += await ids(connections, connection)
            await read()
        assert found == list(range(1, PAGE * 2 + 2))


async def test_a_client_whose_position_was_pruned_gets_a_reset(feed, consume, placed, db, prune):
    user, other = new_id(), new_id()
    await consume(*(placed(user) for _ in range(5)), placed(other))
    await age(db, FEED_KEPT - timedelta(minutes=1), user, upto=3)
    assert await prune() == 0
    await age(db, timedelta(minutes=2), user, upto=3)
    assert await prune() == 3
    async with feed(user, last_event_id=2, ready=5) as socket:
        assert await socket.next() == {"type": "reset"}
    async with feed(user, last_event_id=3, ready=3) as socket:
        assert await socket.ids(2) == [4, 5]
    async with feed(other, last_event_id=0) as socket:
        assert await socket.ids(1) == [1]


async def test_what_is_kept_has_no_gap_although_a_later_entry_is_older(
    feed, consume, placed, db, prune
):
    """Entries have the start times of their transactions, which need not be in order."""
    user = new_id()
    await consume(*(placed(user) for _ in range(5)))
    await db.execute(
        "UPDATE feed_entries SET created_at = created_at - $1::interval WHERE event_id IN (2, 4)",
        FEED_KEPT + timedelta(minutes=1),
    )
    assert await prune() == 4
    async with feed(user, last_event_id=0) as socket:
        assert await socket.ids(1) == [5]


async def test_a_feed_that_is_pruned_whole_goes_on_counting(feed, consume, placed, db, prune):
    user = new_id()
    await consume(placed(user), placed(user))
    await age(db, FEED_KEPT + timedelta(minutes=1), user, upto=2)
    assert await prune() == 2
    async with feed(user, last_event_id=1, ready=2) as socket:
        assert await socket.next() == {"type": "reset"}
        await consume(placed(user))
        assert await socket.ids(1) == [3]


async def age(db, by, user, *, upto):
    await db.execute(
        "UPDATE feed_entries SET created_at = created_at - $1::interval"
        " WHERE user_id = $2 AND event_id <= $3",
        by,
        user,
        upto,
    )
