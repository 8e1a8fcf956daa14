"""Tickets: each opens one stream, for half a minute, and only that."""

import asyncio
import hashlib

import pytest

from chassis.database import new_id
from notifications.streams import repository
from notifications.streams.jobs import prune_stream_tickets
from notifications.streams.repository import StreamTicketRepository
from testkit.plans import generic_plan
from testkit.statements import statements_in_transaction


@pytest.fixture
def ticket(http, headers):
    async def issue(user, given=None):
        answer = await http.post(
            "/api/v1/notifications/stream-tickets", headers=given or headers(user)
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    return issue


async def test_a_ticket_opens_the_stream_of_its_user(stream, ticket, consume, placed):
    user = new_id()
    issued = await ticket(user)
    async with stream({}, f"?ticket={issued['ticket']}") as events:
        assert (await events.next()).event == "ready"
        await consume(placed(user))
        assert await events.ids(1) == [1]


async def test_a_ticket_is_accepted_once(stream, ticket):
    issued = await ticket(new_id())
    async with stream({}, f"?ticket={issued['ticket']}") as events:
        assert events.status == 200
    async with stream({}, f"?ticket={issued['ticket']}") as events:
        assert events.status == 401
        assert (await events.problem())["type"].endswith("/invalid-stream-ticket")


async def test_of_many_streams_that_open_at_once_with_one_ticket_one_opens(http, ticket):
    """Between reading the ticket and deleting it, another request could read it."""
    issued = await ticket(new_id())
    query = {"ticket": issued["ticket"]}
    answers = await asyncio.gather(
        *(http.head("/api/v1/notifications/stream", params=query) for _ in range(10))
    )
    assert sorted(one.status_code for one in answers) == [200] + [401] * 9


async def test_a_ticket_expires(http, ticket, db):
    issued = await ticket(new_id())
    await db.execute("UPDATE stream_tickets SET expires_at = now()")
    query = {"ticket": issued["ticket"]}
    assert (await http.head("/api/v1/notifications/stream", params=query)).status_code == 401


async def test_only_the_hash_of_a_ticket_is_stored(ticket, db):
    user = new_id()
    issued = await ticket(user)
    (row,) = await db.fetch("SELECT * FROM stream_tickets WHERE user_id = $1", user)
    assert row["ticket_hash"] == hashlib.sha256(issued["ticket"].encode()).digest()
    assert issued["ticket"] not in repr(dict(row))
    assert (row["expires_at"] - row["created_at"]).total_seconds() == 30


async def test_a_ticket_is_no_access_token(http, ticket):
    issued = await ticket(new_id())
    bearer = {"Authorization": f"Bearer {issued['ticket']}"}
    assert (await http.get("/api/v1/notifications", headers=bearer)).status_code == 401
    query = {"ticket": issued["ticket"]}
    assert (await http.get("/api/v1/notifications", params=query)).status_code == 401
    assert (await http.head("/api/v1/notifications/stream", headers=bearer)).status_code == 401


async def test_a_ticket_of_an_ended_session_opens_nothing(http, ticket, tokens, revoke):
    session = new_id()
    token = tokens.token(scopes=["notifications:read"], session_id=session)
    issued = await ticket(None, {"Authorization": f"Bearer {token}"})
    revoke(session)
    query = {"ticket": issued["ticket"]}
    assert (await http.head("/api/v1/notifications/stream", params=query)).status_code == 401


async def test_a_stream_by_ticket_ends_with_the_session_of_its_token(
    stream, ticket, tokens, revoke
):
    session = new_id()
    token = tokens.token(scopes=["notifications:read"], session_id=session)
    issued = await ticket(None, {"Authorization": f"Bearer {token}"})
    async with stream({}, f"?ticket={issued['ticket']}") as events:
        await events.next()
        revoke(session)
        assert (await events.next(seconds=1.5)).event == "error"
        assert await events.ended()


async def test_a_token_without_the_scope_gets_no_ticket(http, tokens):
    answer = await http.post(
        "/api/v1/notifications/stream-tickets", headers=tokens.headers(scopes=["orders:read"])
    )
    assert answer.status_code == 403


async def test_expired_tickets_are_deleted_and_no_others(ticket, resources, db):
    expired, valid = new_id(), new_id()
    await ticket(expired)
    await ticket(valid)
    await db.execute(
        "UPDATE stream_tickets SET expires_at = now() - interval '1 s' WHERE user_id = $1", expired
    )
    async with resources.database.transaction() as unit:
        await prune_stream_tickets(unit, 100)
    left = {row["user_id"] for row in await db.fetch("SELECT user_id FROM stream_tickets")}
    assert valid in left
    assert expired not in left


async def test_no_log_line_holds_a_ticket(stream, ticket, capsys):
    issued = await ticket(new_id())
    async with stream({}, f"?ticket={issued['ticket']}") as events:
        await events.next()
    async with stream({}, f"?ticket={issued['ticket']}&last_event_id=x") as events:
        assert events.status == 422
    written = capsys.readouterr()
    assert "/api/v1/notifications/stream" in written.out + written.err
    assert issued["ticket"] not in written.out + written.err


@pytest.fixture
def many(owner):
    """Store this many tickets, of which one in a hundred has expired; sizes are known then."""

    async def store(count):
        await owner.execute(
            "INSERT INTO stream_tickets"
            " (ticket_hash, user_id, token_expires_at, key_id, expires_at)"
            " SELECT sha256(n::text::bytea), gen_random_uuid(), 2000000000, 'k',"
            " now() + CASE WHEN n % 100 = 0 THEN -n ELSE 3600000 + n END * interval '1 millisecond'"
            " FROM generate_series(1, $1::int) AS n",
            count,
        )
        await owner.execute("ANALYZE stream_tickets")

    return store


@pytest.mark.parametrize("count", [30_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_redeeming_and_pruning_among_many_tickets_read_an_index(many, resources, db, count):
    await many(count)
    hash_ = hashlib.sha256(b"7").digest()
    async with statements_in_transaction(resources.database) as (unit, sent):
        assert await StreamTicketRepository(unit).take(hash_) is not None
        assert await StreamTicketRepository(unit).take(hash_) is None
    [taking] = {sql for sql in sent if "stream_tickets" in sql}
    plan = await generic_plan(db, taking)
    assert "Index Scan using pk_stream_tickets on stream_tickets" in plan, plan
    assert "Seq Scan" not in plan, plan
    plan = await generic_plan(db, repository._PRUNE)
    assert "Index Scan using ix_stream_tickets_expires_at on stream_tickets" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
