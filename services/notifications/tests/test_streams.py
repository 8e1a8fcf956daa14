"""The feed as server-sent events: the same items, order and resume as on a socket."""

import asyncio
import re
from datetime import timedelta

import pytest
from pydantic import SecretStr

from chassis.database import new_id
from notifications.feed.service import PAGE
from notifications.kinds.wiring import SCOPE

SENT = re.compile(rb"^id: (\d+)\nevent: notification", re.MULTILINE)


async def test_a_new_user_is_ready_at_zero_and_gets_the_item_as_the_list_shows_it(
    stream, consume, placed, client, headers
):
    user = new_id()
    async with stream(headers(user)) as events:
        ready = await events.next()
        assert (ready.event, ready.id, ready.json) == ("ready", "0", {"event_id": 0})
        await consume(placed(user))
        item = await events.next()
    listed = (await client.get("/api/v1/notifications", headers=headers(user))).json()["items"]
    assert (item.event, item.id, item.json) == ("notification", "1", listed[0])


async def test_the_head_forbids_caches_and_buffers_and_names_a_time_to_reconnect(stream, headers):
    async with stream(headers(new_id())) as events:
        assert events.status == 200
        assert events.headers["content-type"] == "text/event-stream"
        assert events.headers["cache-control"] == "no-store"
        assert events.headers["x-accel-buffering"] == "no"
        await events.next()
        assert 500 <= events.retry <= 5000


@pytest.mark.parametrize("place", ["header", "query", "header first"])
async def test_a_resumed_stream_brings_exactly_what_was_missed(
    stream, consume, placed, headers, place
):
    user = new_id()
    await consume(*(placed(user) for _ in range(5)))
    given, query = headers(user), ""
    if place != "query":
        given |= {"Last-Event-ID": "2"}
    if place != "header":
        query = "?last_event_id=2" if place == "query" else "?last_event_id=4"
    async with stream(given, query) as events:
        assert (await events.next()).id == "2"
        assert await events.ids(3) == [3, 4, 5]
        await consume(placed(user))
        assert await events.ids(1) == [6]


async def test_zero_brings_everything_in_pages(stream, consume, placed, headers):
    user, count = new_id(), 2 * PAGE + 7
    await consume(*(placed(user) for _ in range(count)))
    async with stream(headers(user), "?last_event_id=0") as events:
        await events.next()
        assert await events.ids(count) == list(range(1, count + 1))


async def test_an_id_that_was_never_sent_resets_and_the_stream_goes_on_from_now(
    stream, consume, placed, headers
):
    user = new_id()
    await consume(placed(user))
    async with stream(headers(user) | {"Last-Event-ID": "9" * 40}) as events:
        assert (await events.next()).id == "1"
        assert (await events.next()).event == "reset"
        await consume(placed(user))
        assert await events.ids(1) == [2]


async def test_another_users_items_are_not_sent(stream, consume, placed, headers):
    user, other = new_id(), new_id()
    async with stream(headers(user)) as events:
        await events.next()
        await consume(placed(other), placed(user))
        assert await events.ids(1) == [1]
        with pytest.raises(TimeoutError):
            await events.next(seconds=1.3)


@pytest.mark.parametrize("last", ["-1", "x", "", "1.5", "9" * 41, "\u0661"])
async def test_an_id_that_is_no_number_is_422(http, headers, last):
    query = {"last_event_id": last}
    answer = await http.get("/api/v1/notifications/stream", params=query, headers=headers(new_id()))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "last_event_id"


async def test_without_a_token_or_ticket_it_is_401(http):
    answer = await http.get("/api/v1/notifications/stream")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_without_the_scope_is_403(http, tokens):
    answer = await http.get(
        "/api/v1/notifications/stream", headers=tokens.headers(scopes=["orders:read"])
    )
    assert answer.status_code == 403


async def test_a_token_in_the_query_is_no_token(http, tokens):
    query = {"token": tokens.token(scopes=[SCOPE])}
    answer = await http.get("/api/v1/notifications/stream", params=query)
    assert answer.status_code in {401, 422}


async def test_head_has_the_fields_and_ends(http, headers, server):
    answer = await http.head("/api/v1/notifications/stream", headers=headers(new_id()))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert not server.connections.places()


async def test_a_quiet_stream_has_comments(serve, open_stream, headers):
    async with (
        serve(feed_ping_seconds=0.1) as server,
        open_stream(server, headers(new_id())) as events,
    ):
        await events.next()
        assert [await events.block() for _ in range(3)] == [": ping"] * 3


async def test_a_client_that_disconnects_is_forgotten(stream, server, headers, eventually):
    async with stream(headers(new_id())) as events:
        await events.next()
        assert len(server.connections.places()) == 1
    await eventually(lambda: not server.connections.places())
    closes = {"transport": "sse", "code": "client"}
    assert server.process.registry.get_sample_value("feed_closes_total", closes) == 1


async def test_a_stream_ends_with_its_token(stream, tokens):
    almost = timedelta(seconds=-3)  # and 5 s of clock skew are allowed
    token = tokens.token(scopes=[SCOPE], lifetime=almost)
    async with stream({"Authorization": f"Bearer {token}"}) as events:
        await events.next()
        end = await events.next()
        assert (end.event, end.json["problem"]) == ("error", "unauthenticated")
        assert await events.ended()


async def test_a_stream_ends_within_a_second_of_its_session(stream, tokens, revoke):
    ended = new_id()
    token = tokens.token(scopes=[SCOPE], session_id=ended)
    async with stream({"Authorization": f"Bearer {token}"}) as events:
        await events.next()
        revoke(ended)
        assert (await events.next(seconds=1.5)).event == "error"
        assert await events.ended()


async def test_a_stream_that_stops_with_its_process_names_a_random_time_to_reconnect(
    serve, open_stream, headers
):
    async with (
        serve(feed_reconnect_seconds=60) as server,
        open_stream(server, headers(new_id())) as first,
        open_stream(server, headers(new_id())) as second,
    ):
        await first.next()
        await second.next()
        server.stop()
        assert await first.ended()
        assert await second.ended()
        assert first.retry != second.retry
        assert 6_000 <= first.retry <= 60_000


async def test_streams_count_against_the_limits_of_sockets(serve, open_stream, headers, tokens):
    user = new_id()
    async with (
        serve(feed_sockets_per_user=1, feed_sockets=2) as server,
        open_stream(server, headers(user)) as first,
        server.open() as socket,
    ):
        await first.next()
        async with open_stream(server, headers(user)) as refused:
            assert refused.status == 429
        await socket.send(type="auth", token=tokens.token(subject=user, scopes=[SCOPE]))
        assert (await socket.next())["problem"] == "too-many-sockets"
        async with open_stream(server, headers(new_id())) as second:
            await second.next()
            async with open_stream(server, headers(new_id())) as refused:
                assert refused.status == 503
                assert int(refused.headers["retry-after"]) >= 1


async def test_an_unavailable_database_is_503(serve, open_stream, headers):
    nowhere = SecretStr("postgresql://nobody:x@127.0.0.1:1/none")
    async with (
        serve(database_url=nowhere) as server,
        open_stream(server, headers(new_id())) as events,
    ):
        assert events.status == 503


async def test_a_client_that_stalls_is_closed_and_resumes_where_it_was(
    serve, open_stream, headers, db, eventually
):
    slow, count = new_id(), 2000
    await db.execute("INSERT INTO feed_heads VALUES ($1, $2)", slow, count)
    await db.execute(
        "INSERT INTO feed_entries SELECT $1, n, 'notification',"
        " jsonb_build_object('x', repeat('x', 8000)) FROM generate_series(1, $2::int) AS n",
        slow,
        count,
    )
    async with serve(feed_stall_seconds=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        lines = [f"{name}: {value}" for name, value in headers(slow).items()]
        target = "/api/v1/notifications/stream?last_event_id=0"
        head = "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *lines])
        writer.write(f"{head}\r\n\r\n".encode())
        assert b"200" in await reader.readline()

        def metric(name, **labels):
            return server.process.registry.get_sample_value(name, labels)

        await eventually(lambda: metric("feed_closes_total", transport="sse", code="1013") == 1)
        assert metric("feed_dropped_items_total") > 0
        assert not server.connections.places()
        received = b""
        async with asyncio.timeout(30):
            while part := await reader.read(1 << 20):
                received += part
        writer.close()
        seen = [int(one) for one in SENT.findall(received)]
        assert seen == list(range(1, len(seen) + 1))
        assert 0 < len(seen) < count
        async with open_stream(server, headers(slow) | {"Last-Event-ID": str(seen[-1])}) as events:
            await events.next()
            assert await events.ids(count - len(seen)) == list(range(len(seen) + 1, count + 1))
