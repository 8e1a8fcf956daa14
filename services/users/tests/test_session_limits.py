"""An account has a bounded number of log-in sessions, each lives for a bounded time."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.api import create_api
from chassis.database import new_id
from testkit.clients import client_of
from users.declaration import SERVICE
from users.sessions.models import SIDS_PER_EVENT, SessionLimits
from users.sessions.service import Refusal
from users.sessions.wiring import revoker
from users.settings import UsersSettings

LOGIN = "/api/v1/auth/login"
TOKEN = "/api/v1/auth/token"
BODY = {"email": "ada@example.com", "password": "correct horse battery"}
LIFETIME = timedelta(days=90)


@pytest.fixture
def settings(settings: UsersSettings) -> UsersSettings:
    return settings.model_copy(update={"sessions_per_account": 3})


@pytest.fixture
def ended(events):
    """Read the ids that were announced, one list for each event."""

    async def read():
        return [data["sids"] for kind, _, data in await events() if kind == "session.revoked.v1"]

    return read


@pytest.fixture
def passes(db):
    """Let a time pass since the log-in, without a change of the refresh tokens."""

    async def passed(time):
        await db.execute("UPDATE sessions SET created_at = created_at - $1::interval", time)

    return passed


async def live(db):
    rows = await db.fetch("SELECT id FROM sessions WHERE revoked_at IS NULL ORDER BY created_at")
    return [row["id"] for row in rows]


async def test_very_many_sessions_end_in_events_of_bounded_size(resources, register, ended, db):
    user_id = UUID((await register())["id"])
    sids = [new_id() for _ in range(2 * SIDS_PER_EVENT + 1)]
    await db.execute(
        "INSERT INTO sessions (id, user_id) SELECT unnest($1::uuid[]), $2", sids, user_id
    )
    await db.execute(
        "INSERT INTO refresh_tokens (token_hash, session_id, expires_at)"
        " SELECT uuid_send(id), id, now() + interval '1 day' FROM sessions"
    )
    async with resources.database.transaction() as unit:
        revoking = revoker(resources, unit, token_lifetime=resources.signer.lifetime)
        await revoking.revoke_all(user_id)

    announced = await ended()
    assert [len(one) for one in announced] == [1000, 1000, 1]
    assert {UUID(sid) for one in announced for sid in one} == set(sids)


async def test_a_log_in_beyond_the_limit_ends_the_oldest_session(
    register, log_in, refresh, ended, db
):
    await register()
    tokens = [await log_in() for _ in range(3)]
    oldest = (await live(db))[0]
    assert await ended() == []

    await log_in()

    assert await ended() == [[str(oldest)]]
    answer = await refresh(tokens[0]["refresh_token"])
    assert answer.json()["error_description"] == Refusal.REVOKED
    for one in tokens[1:]:
        assert (await refresh(one["refresh_token"])).status_code == 200
    reason = "SELECT details->>'reason' FROM audit_log WHERE action = 'session.ended'"
    assert await db.fetchval(reason) == "too many sessions"


async def test_between_the_start_of_a_log_in_and_its_session_later_ones_are_opened_and_it_lives(
    register, log_in, refresh, db
):
    """Its transaction is older than theirs, since it waited for the account's lock."""
    await register()
    for _ in range(3):
        await log_in()
    await db.execute("UPDATE sessions SET created_at = created_at + interval '1 minute'")
    tokens = await log_in()
    assert (await refresh(tokens["refresh_token"])).status_code == 200
    assert len(await live(db)) == 3


async def test_sessions_that_ended_or_expired_do_not_count(register, log_in, ended, db):
    await register()
    for _ in range(3):
        await log_in()
    await db.execute("UPDATE sessions SET expires_at = now()")
    await log_in()
    await db.execute("UPDATE sessions SET revoked_at = now()")
    for _ in range(3):
        await log_in()
    assert await ended() == []


async def test_another_account_has_a_limit_of_its_own(register, log_in, ended):
    await register()
    await register("grace@example.com")
    for _ in range(3):
        await log_in()
        await log_in("grace@example.com")
    assert await ended() == []


async def test_between_the_opening_of_a_session_and_the_count_no_other_log_in_gets_in(
    client, register, ended, db
):
    await register()
    answers = await asyncio.gather(*(client.post(LOGIN, json=BODY) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await live(db)) == 3
    assert len(await ended()) == 5


async def test_a_session_can_not_be_refreshed_beyond_its_lifetime(first, refresh, passes):
    await passes(LIFETIME - timedelta(minutes=1))
    second = (await refresh(first)).json()["refresh_token"]
    await passes(timedelta(minutes=1))
    answer = await refresh(second)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert answer.json()["error_description"] == Refusal.EXPIRED


async def test_the_response_to_a_refresh_is_not_repeated_beyond_the_lifetime(
    first, refresh, passes
):
    await refresh(first)
    await passes(LIFETIME)
    assert (await refresh(first)).json()["error_description"] == Refusal.EXPIRED


async def test_reuse_is_still_seen_beyond_the_lifetime(first, refresh, passes, db):
    second = (await refresh(first)).json()["refresh_token"]
    await refresh(second)
    await passes(LIFETIME)
    assert (await refresh(first)).json()["error_description"] == Refusal.REUSED
    assert await live(db) == []


async def test_a_refresh_token_expires_no_later_than_its_session(first, refresh, passes, db):
    await passes(LIFETIME - timedelta(days=1))
    await refresh(first)
    session = await db.fetchrow("SELECT created_at, expires_at FROM sessions")
    assert session["expires_at"] == session["created_at"] + LIFETIME
    newest = await db.fetchval("SELECT max(expires_at) FROM refresh_tokens WHERE used_at IS NULL")
    assert newest == session["expires_at"]


async def test_a_shorter_lifetime_holds_for_sessions_that_are_open(first, settings, passes):
    await passes(timedelta(hours=2))
    shorter = settings.model_copy(update={"session_lifetime": 3600})
    form = {"grant_type": "refresh_token", "refresh_token": first}
    async with client_of(create_api(SERVICE, shorter)) as client:
        answer = await client.post(TOKEN, data=form)
    assert answer.json()["error_description"] == Refusal.EXPIRED


def test_an_idle_session_expires_before_its_lifetime_is_over():
    limits = SessionLimits(idle=timedelta(days=30), lifetime=LIFETIME, per_account=1)
    now = datetime.now(UTC)
    assert limits.expiry(now, logged_in_at=now) == now + timedelta(days=30)
    long_ago = now - timedelta(days=80)
    assert limits.expiry(now, logged_in_at=long_ago) == now + timedelta(days=10)
