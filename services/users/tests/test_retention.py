"""When refresh tokens and log-in sessions that are no longer needed are deleted."""

from datetime import timedelta

import asyncpg
import pytest

from chassis.auth.opaque import token_hash
from users.sessions.jobs import prune_ended_sessions, prune_refresh_tokens
from users.sessions.models import ENDED_SESSIONS_KEPT, REUSE_SEEN
from users.sessions.repository import SessionRepository
from users.sessions.service import Refusal

TOKEN = "/api/v1/auth/token"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def first(register, log_in):
    await register()
    return (await log_in())["refresh_token"]


@pytest.fixture
def refresh(client):
    async def post(token):
        body = {"grant_type": "refresh_token", "refresh_token": token}
        return (await client.post(TOKEN, data=body)).json()

    return post


@pytest.fixture
def prune(resources):
    async def pruned(job, limit=100):
        async with resources.database.transaction() as unit:
            return await job(unit, limit)

    return pruned


@pytest.fixture
def counts(db):
    async def counted():
        tables = ("sessions", "refresh_tokens")
        return [await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables]

    return counted


async def let_expire(db, ago, *, used):
    """Make the used tokens, or the unused ones, expire this long ago."""
    await db.execute(
        "UPDATE refresh_tokens SET expires_at = now() - $1::interval"
        " WHERE (used_at IS NOT NULL) = $2",
        ago,
        used,
    )


async def test_a_used_token_is_known_for_as_long_as_its_reuse_must_be_seen(
    first, refresh, prune, counts, db
):
    await refresh(first)
    await db.execute("UPDATE sessions SET successor_until = now() - interval '1 min'")
    await let_expire(db, REUSE_SEEN - MINUTE, used=True)
    assert await prune(prune_refresh_tokens) == 0
    assert (await refresh(first))["error_description"] == Refusal.REUSED
    assert await counts() == [1, 2]


async def test_after_that_a_token_is_unknown_and_its_session_goes_on(
    first, refresh, prune, counts, db
):
    newest = (await refresh(first))["refresh_token"]
    await let_expire(db, REUSE_SEEN + MINUTE, used=True)
    assert await prune(prune_refresh_tokens) == 1
    assert (await refresh(first))["error_description"] == Refusal.UNKNOWN
    assert await counts() == [1, 1]
    assert "access_token" in await refresh(newest)


async def test_a_session_goes_with_its_last_token(first, refresh, prune, counts, db, log_in):
    await log_in()
    await refresh(first)
    await let_expire(db, REUSE_SEEN + MINUTE, used=True)
    await let_expire(db, REUSE_SEEN + MINUTE, used=False)
    assert await prune(prune_refresh_tokens, limit=2) == 2
    assert await prune(prune_refresh_tokens, limit=2) == 1
    assert await counts() == [0, 0]


async def test_an_ended_session_is_kept_for_a_while_and_goes_with_its_tokens(
    first, refresh, prune, counts, db, log_in, resources
):
    other = await log_in()
    async with resources.database.transaction() as unit:
        sessions = SessionRepository(unit)
        family = await sessions.lock_family(token_hash(first))
        assert family is not None
        await sessions.revoke(family.id)
    await db.execute(
        "UPDATE sessions SET revoked_at = now() - $1::interval WHERE revoked_at IS NOT NULL",
        ENDED_SESSIONS_KEPT - MINUTE,
    )
    assert await prune(prune_ended_sessions) == 0
    assert (await refresh(first))["error_description"] == Refusal.REVOKED
    await db.execute("UPDATE sessions SET revoked_at = revoked_at - interval '2 min'")
    assert await prune(prune_ended_sessions) == 1
    assert await counts() == [1, 1]
    assert (await refresh(first))["error_description"] == Refusal.UNKNOWN
    assert "access_token" in await refresh(other["refresh_token"])


async def test_tokens_are_not_pruned_while_their_session_is_being_deleted(
    first, refresh, prune, counts, db, database
):
    """Both lock the session before its tokens, so that neither waits for the other."""
    await refresh(first)
    await let_expire(db, REUSE_SEEN + MINUTE, used=True)
    await let_expire(db, REUSE_SEEN + MINUTE, used=False)
    holder = await asyncpg.connect(database.runtime_url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM sessions FOR UPDATE")
            assert await prune(prune_refresh_tokens) == 0
            await holder.execute("DELETE FROM sessions")
    finally:
        await holder.close()
    assert await counts() == [0, 0]


async def test_a_session_that_is_being_refreshed_holds_no_pruning_up(
    first, refresh, prune, resources, db
):
    """The row is locked between the pruning's look-up and its DELETE; the next run takes it."""
    await refresh(first)
    await db.execute(
        "UPDATE sessions SET revoked_at = now() - $1::interval", ENDED_SESSIONS_KEPT + MINUTE
    )
    async with resources.database.transaction() as unit:
        await unit.fetch("SELECT id FROM sessions FOR UPDATE")
        assert await prune(prune_ended_sessions) == 0
    assert await prune(prune_ended_sessions) == 1
