"""An announcement reaches the open sockets of every process, and those that connect later."""

import asyncio
import json
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace

import pytest

from chassis.actor import SYSTEM
from chassis.database import new_id
from notifications.announcements.wiring import announcements
from notifications.feed.service import Connection
from notifications.kinds.wiring import SCOPE

CROWD = 5_000


async def test_open_sockets_get_it_as_any_item(feed, joined, publish, consume, placed):
    first, second = await joined(), await joined()
    async with feed(first) as one, feed(second) as other:
        made = await publish("Sale", data={"link": "/sale"})
        for socket in (one, other):
            item = await socket.next()
            assert (item["type"], item["event_id"]) == ("notification", 1)
            assert item["data"]["title"] == "Sale"
            assert item["data"]["data"] == {"link": "/sale", "announcement_id": made["id"]}
        await consume(placed(first))
        assert await one.ids(1) == [2]


async def test_sockets_of_one_user_on_two_replicas_each_get_it_once(
    serve, tokens, joined, publish, db
):
    user = await joined()
    token = tokens.token(subject=user, scopes=[SCOPE])
    async with AsyncExitStack() as stack:
        sockets = []
        for _ in range(2):
            server = await stack.enter_async_context(serve())
            socket = await stack.enter_async_context(server.open())
            await socket.send(type="auth", token=token)
            assert (await socket.next())["type"] == "ready"
            sockets.append(socket)
        await publish("First")
        await publish("Second")
        assert [await socket.ids(2) for socket in sockets] == [[1, 2], [1, 2]]
    assert await db.fetchval("SELECT count(*) FROM feed_entries") == 2


async def test_a_client_that_was_away_gets_it_when_it_resumes(
    feed, joined, publish, consume, placed
):
    user = await joined()
    await consume(placed(user))
    await publish()
    async with feed(user, last_event_id=1, ready=1) as socket:
        assert await socket.ids(1) == [2]
    await publish()
    async with feed(user, ready=3) as socket:
        await publish()
        assert await socket.ids(1) == [4]


async def test_one_whose_hint_is_lost_comes_with_the_next_poll(feed, joined, fill):
    user = await joined()
    async with feed(user) as socket:
        await fill(2)
        assert await socket.ids(2) == [1, 2]


async def test_a_user_who_is_not_known_yet_gets_it_once_known(feed, joined, publish):
    """The event of the registration may come after the first socket."""
    user = new_id()
    async with feed(user) as socket:
        await publish("Before")
        await joined(user)
        await publish("After")
        assert (await socket.next())["data"]["title"] == "After"


@pytest.fixture
def announce(api_resources):
    """Publish an announcement by the use case."""

    async def publish():
        author = new_id()
        async with api_resources.database.transaction() as unit:
            await announcements(api_resources, unit).publish(
                title="T",
                body="B",
                data={},
                expires_at=None,
                author_id=author,
                by=SYSTEM,
            )

    return publish


async def test_5_000_connected_users_each_get_it_once(
    api_resources, announce, tokens, owner, db, eventually
):
    principal = api_resources.verifier.verify(tokens.token(scopes=[SCOPE]))
    crowd = [Connection(principal=replace(principal, user_id=new_id())) for _ in range(CROWD)]
    await owner.execute(
        "INSERT INTO recipients (user_id, full_name, version) SELECT unnest($1::uuid[]), 'x', 1",
        [one.user_id for one in crowd],
    )
    connections = api_resources.connections
    with ExitStack() as stack:
        for one in crowd:
            stack.enter_context(connections.joined(one))
            connections.place(one, 0)
        await announce()
        received = await asyncio.gather(*(connections.next_items(one) for one in crowd))
    assert [[item.event_id for item in items] for items in received] == [[1]] * CROWD
    ids = [json.loads(items[0].data)["id"] for items in received]
    assert len(set(ids)) == CROWD
    assert await db.fetchval("SELECT count(*) FROM outbox") == CROWD
    newest = await db.fetchval("SELECT max(seq) FROM announcements")
    await eventually(lambda: api_resources.announcements.seen == newest)
