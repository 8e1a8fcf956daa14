"""Commands on the socket: each is answered by its id, and a bad one does not close the socket."""

import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from chassis.database import new_id
from chassis.database.infrastructure import mark_infrastructure
from notifications.kinds.wiring import SCOPE


@pytest.fixture
def opened(server, tokens):
    """Open an authenticated socket with a token of our choice."""

    @asynccontextmanager
    async def open_(**given):
        async with server.open() as socket:
            await socket.send(type="auth", token=tokens.token(scopes=[SCOPE], **given))
            assert (await socket.next())["type"] == "ready"
            yield socket

    return open_


async def ask(socket, kind, **given):
    await socket.send(type=kind, id="c-1", **given)
    return await socket.next()


async def test_a_ping_is_answered_by_its_id(feed):
    async with feed(new_id()) as socket:
        assert await ask(socket, "ping") == {"type": "result", "id": "c-1", "data": {}}


async def test_ready_comes_before_the_result_of_a_command_that_came_with_the_token(server, tokens):
    async with server.open() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE]), last_event_id=7)
        await socket.send(type="ping", id="c-1")
        answers = [(await socket.next())["type"] for _ in range(3)]
    assert answers == ["ready", "reset", "result"]


async def test_mark_read_answers_with_the_notification(feed, consume, placed, client, headers):
    user = new_id()
    async with feed(user) as socket:
        await consume(placed(user))
        item = await socket.next()
        answer = await ask(socket, "mark_read", notification_id=item["data"]["id"])
    listed = (await client.get("/api/v1/notifications", headers=headers(user))).json()["items"]
    assert answer == {"type": "result", "id": "c-1", "data": listed[0]}
    assert listed[0]["read_at"] is not None


async def test_a_notification_of_another_user_is_not_found(feed, consume, placed):
    user, other = new_id(), new_id()
    async with feed(user) as socket, feed(other) as stranger:
        await consume(placed(user))
        item = await socket.next()
        answer = await ask(stranger, "mark_read", notification_id=item["data"]["id"])
        assert answer["type"] == "error"
        assert (answer["id"], answer["problem"]) == ("c-1", "notification-not-found")
        assert (await ask(stranger, "ping"))["type"] == "result"


async def test_a_filter_leaves_out_other_categories_and_ids_stay_in_order(feed, consume, placed):
    user = new_id()
    async with feed(user) as socket:
        assert (await ask(socket, "filter", categories=["security"]))["type"] == "result"
        await consume(placed(user), placed(user))
        # The reader gives the items to the writer before it reads the third one.
        async with feed(user, last_event_id=0) as whole:
            assert await whole.ids(2) == [1, 2]
        assert (await ask(socket, "filter", categories=["orders", "security"]))["data"] == {}
        await consume(placed(user))
        assert await socket.ids(1) == [3]
        assert (await ask(socket, "filter", categories=[]))["data"] == {}
        await consume(placed(user))
        async with feed(user, last_event_id=3) as whole:
            assert await whole.ids(1) == [4]
        assert (await ask(socket, "filter", categories=None))["data"] == {}
        await consume(placed(user))
        assert await socket.ids(1) == [5]


async def test_a_renewed_socket_outlives_its_first_token(opened, tokens):
    almost = timedelta(seconds=-3)  # and 5 s of clock skew are allowed
    user = new_id()
    async with opened(subject=user, lifetime=almost) as socket:
        answer = await ask(socket, "renew", token=tokens.token(subject=user, scopes=[SCOPE]))
        assert answer["type"] == "result"
        assert answer["data"]["expires_at"].endswith("Z")
        with pytest.raises(TimeoutError):
            await socket.next(seconds=4)
        assert (await ask(socket, "ping"))["type"] == "result"


async def test_a_token_of_another_user_renews_nothing(opened, tokens):
    async with opened() as socket:
        answer = await ask(socket, "renew", token=tokens.token(subject=new_id(), scopes=[SCOPE]))
        assert (answer["id"], answer["problem"]) == ("c-1", "other-user")
        assert (await ask(socket, "ping"))["type"] == "result"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"lifetime": timedelta(seconds=-60)}, "unauthenticated"),
        ({"audience": "another"}, "unauthenticated"),
        ({"scopes": ["orders:read"]}, "insufficient-scope"),
    ],
)
async def test_a_token_that_is_not_valid_renews_nothing(opened, tokens, given, problem):
    user = new_id()
    async with opened(subject=user) as socket:
        token = tokens.token(**{"subject": user, "scopes": [SCOPE], **given})
        assert (await ask(socket, "renew", token=token))["problem"] == problem
        assert (await ask(socket, "ping"))["type"] == "result"


async def test_a_session_that_is_revoked_after_the_renewal_ends_the_socket(opened, tokens, revoke):
    user, before, after = new_id(), new_id(), new_id()
    async with opened(subject=user, session_id=before) as socket:
        renewed = tokens.token(subject=user, scopes=[SCOPE], session_id=after)
        assert (await ask(socket, "renew", token=renewed))["type"] == "result"
        revoke(before)
        with pytest.raises(TimeoutError):
            await socket.next(seconds=1.5)
        revoke(after)
        assert (await socket.next(seconds=2))["problem"] == "unauthenticated"
        assert await socket.closed() == 4401


@pytest.mark.parametrize(
    ("message", "command_id"),
    [
        ({"type": "subscribe", "id": "a"}, "a"),
        ({"type": "auth", "id": "a", "token": "x"}, "a"),
        ({"id": "a"}, "a"),
        ({}, None),
        ({"type": ["ping"], "id": "a"}, "a"),
        ({"type": "ping"}, None),
        ({"type": "ping", "id": 7}, None),
        ({"type": "ping", "id": ""}, None),
        ({"type": "ping", "id": "x" * 65}, None),
        ({"type": "ping", "id": "a", "more": 1}, "a"),
        ({"type": "mark_read", "id": "a"}, "a"),
        ({"type": "mark_read", "id": "a", "notification_id": "no"}, "a"),
        ({"type": "filter", "id": "a"}, "a"),
        ({"type": "filter", "id": "a", "categories": ["unknown"]}, "a"),
        ({"type": "filter", "id": "a", "categories": ["orders"] * 9}, "a"),
        ({"type": "filter", "id": "a", "categories": "orders"}, "a"),
        ({"type": "renew", "id": "a"}, "a"),
        ({"type": "renew", "id": "a", "token": 5}, "a"),
        ({"type": "renew", "id": "a", "token": "x" * 8193}, "a"),
    ],
)
async def test_a_command_that_is_not_valid_gets_an_error_and_the_socket_stays(
    feed, message, command_id
):
    async with feed(new_id()) as socket:
        await socket.connection.send(json.dumps(message))
        answer = await socket.next()
        assert (answer["type"], answer["id"]) == ("error", command_id)
        assert answer["problem"] == "malformed-message"
        assert (await ask(socket, "ping"))["type"] == "result"


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"ping"', "{", "[" * 5000, '{"a": NaN}'])
async def test_what_is_no_object_is_4400(feed, text):
    async with feed(new_id()) as socket:
        await socket.connection.send(text)
        answer = await socket.next()
        assert answer["type"] == "error"
        assert "id" not in answer
        assert await socket.closed() == 4400


async def test_commands_and_items_do_not_mix(feed, consume, placed):
    user = new_id()
    async with feed(user) as socket:
        await consume(*(placed(user) for _ in range(20)))
        for number in range(20):
            await socket.send(type="ping", id=str(number))
        received = [await socket.next() for _ in range(40)]
    results = [one["id"] for one in received if one["type"] == "result"]
    items = [one["event_id"] for one in received if one["type"] == "notification"]
    assert results == [str(number) for number in range(20)]
    assert items == list(range(1, 21))


async def test_a_command_while_the_database_is_unavailable_gets_an_error_and_can_be_repeated(
    feed, consume, placed, server, monkeypatch
):
    user = new_id()
    database = server.app.state.resources.database
    working = type(database).transaction
    async with feed(user) as socket:
        await consume(placed(user))
        item = await socket.next()

        def broken(_):
            message = "the server is unavailable"
            raise mark_infrastructure(ConnectionRefusedError(message))

        monkeypatch.setattr(type(database), "transaction", broken)
        answer = await ask(socket, "mark_read", notification_id=item["data"]["id"])
        monkeypatch.setattr(type(database), "transaction", working)
        assert answer["problem"] == "unavailable"
        answer = await ask(socket, "mark_read", notification_id=item["data"]["id"])
        assert answer["type"] == "result"


async def test_the_round_trip_of_a_ping_is_measured_once(serve, tokens, eventually):
    async with serve(feed_ping_seconds=0.1) as server, server.open() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE]))
        await socket.next()
        assert json.loads(await socket.connection.recv()) == {"type": "ping"}
        await socket.send(type="pong")
        await socket.send(type="pong")

        def count():
            return server.process.registry.get_sample_value("feed_ping_seconds_count")

        await eventually(lambda: count() == 1)
        await socket.send(type="ping", id="after both")
        while json.loads(await socket.connection.recv()).get("type") != "result":
            pass
        assert count() == 1
