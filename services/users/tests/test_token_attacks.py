"""Attacks on tokens that RFC 9700 and RFC 6749 name: each ends in a refusal, or in no session."""

import json

import pytest

from users.sessions.service import Refusal

from .conftest import bearer_of
from .test_sessions import claims_of
from .test_tokens import FORM, assert_refused

TOKEN = "/api/v1/auth/token"
REVOKE = "/api/v1/auth/revoke"
LOGIN = "/api/v1/auth/login"
ME = "/api/v1/users/me"
SESSIONS = "/api/v1/auth/sessions"


@pytest.fixture
def pass_time(db):
    """Let the time be over in which a lost response is repeated."""

    async def passed():
        await db.execute("UPDATE sessions SET successor_until = now()")

    return passed


@pytest.mark.parametrize("thief_is_first", [True, False])
async def test_of_thief_and_owner_neither_keeps_a_stolen_session(
    refresh, first, events, pass_time, db, thief_is_first
):
    """RFC 9700 §4.14.2: the second of the two presents a used token, and nobody knows who it is."""
    mine = (await refresh(first)).json()["refresh_token"]
    await pass_time()
    second = await refresh(first)

    assert second.json()["error_description"] == Refusal.REUSED
    for token in (mine, first) if thief_is_first else (first, mine):
        assert (await refresh(token)).json()["error_description"] == Refusal.REVOKED
    assert [kind for kind, _, _ in await events()].count("session.revoked.v1") == 1
    entry = await db.fetchrow("SELECT * FROM audit_log WHERE action = 'session.reuse_detected'")
    assert (entry["actor_kind"], entry["actor_id"]) == ("system", None)
    sid = await db.fetchval("SELECT id FROM sessions")
    assert json.loads(entry["details"]) == {"session": str(sid)}


async def test_a_thief_with_the_kept_successor_is_found_when_the_owner_refreshes(
    refresh, first, db
):
    """Both get the same successor within the time of a repetition; only one can continue it."""
    owner, thief = [(await refresh(first)).json()["refresh_token"] for _ in range(2)]
    assert owner == thief
    assert (await refresh(thief)).status_code == 200
    third = (await refresh(owner)).json()["refresh_token"]  # a repetition, as after a lost response
    assert (await refresh(third)).status_code == 200
    assert (await refresh(thief)).json()["error_description"] == Refusal.REUSED
    assert await db.fetchval("SELECT revoked_at IS NOT NULL FROM sessions")


async def test_a_refresh_token_is_not_an_access_token(client, first):
    answer = await client.get(ME, headers={"Authorization": f"Bearer {first}"})
    assert answer.status_code == 401


async def test_an_access_token_is_not_a_refresh_token(register, log_in, refresh):
    await register()
    access = (await log_in())["access_token"]
    assert_refused(await refresh(access), "invalid_request")  # it is longer than any refresh token
    assert_refused(await refresh(access[:500]), "invalid_grant")


@pytest.mark.parametrize("grant", ["password", "client_credentials", "implicit", "refresh_token "])
async def test_no_other_grant_is_offered(client, register, grant):
    """RFC 9700 §2.4 forbids the password grant."""
    await register()
    form = {
        "grant_type": grant,
        "username": "ada@example.com",
        "password": "correct horse battery",
    }
    assert_refused(await client.post(TOKEN, data=form), "unsupported_grant_type")


async def test_a_token_in_the_address_is_not_read(client, first, db):
    """RFC 9700 §4.3.2: addresses end in logs and histories."""
    query = {"grant_type": "refresh_token", "refresh_token": first, "token": first}
    for path in (TOKEN, REVOKE):
        answer = await client.post(path, params=query, headers={"Content-Type": FORM})
        assert_refused(answer, "invalid_request")
        assert (await client.get(path, params=query)).status_code == 405
    answer = await client.get(ME, params={"access_token": first})
    assert answer.status_code == 401
    assert await db.fetchval("SELECT used_at IS NULL FROM refresh_tokens")


@pytest.mark.parametrize("scope", ["users:write", "profile users:write ops:jobs", "*"])
async def test_a_refresh_does_not_widen_the_scope(client, first, scope):
    """RFC 6749 §6: not beyond what was granted. §3.3: the response names what is granted."""
    form = {"grant_type": "refresh_token", "refresh_token": first, "scope": scope}
    answer = (await client.post(TOKEN, data=form)).json()
    assert set(answer["scope"].split()) == set(claims_of(answer)["scope"].split())
    assert not {"users:write", "ops:jobs"} & set(answer["scope"].split())


async def test_an_authorization_does_not_change_whose_session_is_refreshed(
    client, register, log_in, first
):
    """A token of another user beside the refresh token has no effect."""
    await register("grace@example.com")
    other = await log_in("grace@example.com")
    form = {"grant_type": "refresh_token", "refresh_token": first}
    answer = await client.post(TOKEN, data=form, headers=bearer_of(other))
    assert claims_of(answer.json())["sub"] != claims_of(other)["sub"]


async def test_no_response_with_tokens_may_be_stored(client, register, refresh):
    await register()
    answer = await client.post(
        LOGIN, json={"email": "ada@example.com", "password": "correct horse battery"}
    )
    fresh = await refresh(answer.json()["refresh_token"])
    for one in (answer, fresh):
        assert one.headers["cache-control"] == "no-store"


async def test_a_database_copy_alone_opens_no_session(first, refresh, db):
    """What is stored of a token is not accepted as the token."""
    successor = (await refresh(first)).json()["refresh_token"]
    row = await db.fetchrow("SELECT * FROM sessions")
    hashes = [row["token_hash"] for row in await db.fetch("SELECT token_hash FROM refresh_tokens")]
    for stored in (*hashes, row["successor"], row["successor_of"]):
        assert (await refresh(stored.hex())).json()["error"] == "invalid_grant"
        assert first.encode() not in stored
        assert successor.encode() not in stored
    assert await db.fetchval("SELECT revoked_at IS NULL FROM sessions")


async def test_tokens_of_an_ended_session_open_nothing_new(client, register, log_in, refresh, db):
    """The access token may live for seconds elsewhere; users itself lists and continues nothing."""
    await register()
    own = await log_in()
    await client.post(REVOKE, data={"token": own["refresh_token"]})
    assert (await refresh(own["refresh_token"])).json()["error"] == "invalid_grant"
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
