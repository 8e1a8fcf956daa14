"""The socket: which clients are accepted, what is refused, and how it ends."""

import json
from datetime import timedelta

import pytest
from pydantic import SecretStr

from chassis.database import new_id
from notifications.kinds.wiring import SCOPE


async def refusal(socket):
    """Wait for the reason and the close code."""
    answer = await socket.next()
    assert answer["type"] == "error", answer
    return answer["detail"], await socket.closed()


async def test_a_new_user_is_ready_at_zero_and_gets_the_item_as_the_list_shows_it(
    feed, consume, placed, client, headers
):
    user = new_id()
    async with feed(user, ready=0) as socket:
        order = placed(user)
        await consume(order)
        item = await socket.next()
    listed = (await client.get("/api/v1/notifications", headers=headers(user))).json()["items"]
    assert item == {"type": "notification", "event_id": 1, "data": listed[0]}
    assert item["data"]["data"] == {
        "order_id": str(order.order_id),
        "total": order.total.model_dump(),
    }


async def test_another_user_gets_nothing(feed, consume, placed):
    user, other = new_id(), new_id()
    async with feed(user) as socket:
        await consume(placed(other), placed(user))
        assert (await socket.next())["event_id"] == 1
        with pytest.raises(TimeoutError):
            await socket.next(seconds=1.3)


async def test_two_sockets_of_one_user_both_get_everything(feed, consume, placed):
    user = new_id()
    async with feed(user) as first, feed(user) as second:
        await consume(*(placed(user) for _ in range(5)))
        assert await first.ids(5) == await second.ids(5) == [1, 2, 3, 4, 5]


async def test_a_socket_without_a_token_is_closed_in_time(serve):
    async with serve(feed_auth_seconds=0.2) as server, server.open() as socket:
        detail, code = await refusal(socket)
    assert code == 4401
    assert "within 0.2 s" in detail


async def test_a_bad_token_is_4401(anonymous):
    async with anonymous() as socket:
        await socket.send(type="auth", token="no.such.token")
        assert (await refusal(socket))[1] == 4401


async def test_a_token_for_somebody_else_is_4401(anonymous, tokens):
    async with anonymous() as socket:
        token = tokens.token(audience="another", scopes=[SCOPE])
        await socket.send(type="auth", token=token)
        assert (await refusal(socket))[1] == 4401


async def test_a_token_without_the_scope_is_4403(anonymous, tokens):
    async with anonymous() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=["orders:read"]))
        detail, code = await refusal(socket)
    assert code == 4403
    assert SCOPE in detail


async def test_a_token_in_the_query_is_no_token(server, tokens, anonymous):
    server.query = f"?token={tokens.token(scopes=[SCOPE])}"
    async with anonymous() as socket:
        await socket.send(type="pong")
        assert (await refusal(socket))[1] == 4400


async def test_a_socket_ends_when_its_token_expires(anonymous, tokens):
    almost = timedelta(seconds=-2)  # and 5 s of clock skew are allowed
    async with anonymous() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE], lifetime=almost))
        assert (await socket.next())["type"] == "ready"
        detail, code = await refusal(socket)
    assert code == 4401
    assert "expired" in detail


@pytest.mark.parametrize(
    "first",
    [
        "",
        "null",
        "[]",
        "{",
        "{}",
        '"auth"',
        '{"type": "auth"}',
        '{"type": "ping"}',
        '{"type": "auth", "token": 7}',
        '{"type": "auth", "token": ""}',
        '{"type": "auth", "token": "x", "more": 1}',
        '{"type": "auth", "token": "x", "last_event_id": -1}',
        '{"type": "auth", "token": "x", "last_event_id": 1.5}',
        '{"type": "auth", "token": "x", "last_event_id": true}',
        '{"type": "auth", "token": "x", "last_event_id": "-1"}',
        '{"type": "auth", "token": "x", "last_event_id": "latest"}',
        '{"type": "auth", "token": "x", "last_event_id": "\\u0661"}',
        '{"type": "auth", "token": "x\\u0000"}',
        '{"type": "auth", "token": "\\ud800"}',
        '{"type": "auth", "token": "x", "last_event_id": ' + "9" * 5000 + "}",
        "[" * 5000,
    ],
)
async def test_a_malformed_first_message_is_4400(anonymous, first):
    async with anonymous() as socket:
        await socket.connection.send(first)
        detail, code = await refusal(socket)
    assert code == 4400
    assert "auth" in detail


async def test_hostile_text_in_a_token_is_refused_and_nothing_else(anonymous):
    for text in ("'; DROP TABLE feed_heads; --", "a\r\nb", "<script>", "{{7*7}}", "\u202e", "🙂"):
        async with anonymous() as socket:
            await socket.send(type="auth", token=text)
            assert (await refusal(socket))[1] == 4401


async def test_a_binary_message_is_4400(anonymous):
    async with anonymous() as socket:
        await socket.connection.send(b"\x00\xff")
        assert (await refusal(socket))[1] == 4400


async def test_a_pong_is_taken_and_any_other_message_is_4400(feed):
    async with feed(new_id()) as socket:
        await socket.send(type="pong")
        await socket.send(type="subscribe")
        detail, code = await refusal(socket)
    assert code == 4400
    assert "pong" in detail


@pytest.mark.parametrize("size", [20_000, 100_000])
async def test_a_message_over_the_limit_is_1009(anonymous, size):
    async with anonymous() as socket:
        await socket.connection.send(json.dumps({"type": "auth", "token": "x" * size}))
        assert await socket.closed() == 1009


async def test_a_client_that_sends_without_end_is_4429(feed):
    async with feed(new_id()) as socket:
        for _ in range(25):
            await socket.send(type="pong")
        assert (await refusal(socket))[1] == 4429


async def test_pings_come_while_nothing_happens(serve, tokens):
    async with serve(feed_ping_seconds=0.1) as server, server.open() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE]))
        received = [json.loads(await socket.connection.recv()) for _ in range(3)]
    assert received[1:] == [{"type": "ping"}, {"type": "ping"}]


async def test_a_client_that_disconnects_is_forgotten(feed, server, eventually):
    async with feed(new_id()) as socket:
        assert len(server.connections.places()) == 1
        socket.connection.transport.abort()
        await eventually(lambda: not server.connections.places())


async def test_sockets_get_a_close_frame_when_the_server_stops(serve, tokens):
    async with serve() as server, server.open() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE]))
        await socket.next()
        server.stop()
        assert await socket.closed() == 1012


async def test_an_unavailable_database_is_1013_and_the_client_may_reconnect(serve, tokens):
    nowhere = "postgresql://nobody:x@127.0.0.1:1/none"
    async with serve(database_url=SecretStr(nowhere)) as server, server.open() as socket:
        await socket.send(type="auth", token=tokens.token(scopes=[SCOPE]))
        assert (await refusal(socket))[1] == 1013
