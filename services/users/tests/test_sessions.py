"""One's own log-in sessions: which ones are listed, with what, and how they end."""

import asyncio
import base64
import json
from datetime import datetime
from uuid import UUID

import pytest

from chassis.actor import Actor, ActorKind
from chassis.database import new_id
from users.sessions.models import device_of
from users.sessions.wiring import sessions as make_sessions

from .conftest import bearer_of

SESSIONS = "/api/v1/auth/sessions"
TOKEN = "/api/v1/auth/token"
LOGIN = "/api/v1/auth/login"
ME = "/api/v1/users/me"
BODY = {"email": "ada@example.com", "password": "correct horse battery"}
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
FROM = {"X-Real-IP": "192.0.2.7", "User-Agent": FIREFOX, "X-Request-ID": "r-1"}


def claims_of(tokens):
    body = tokens["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def listed(client):
    """List the sessions of a caller."""

    async def read(tokens, **query):
        answer = await client.get(SESSIONS, headers=bearer_of(tokens), params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return read


@pytest.fixture
def audit(db):
    """Read the audit log: action, actor's kind and id, subject, details."""

    async def read():
        rows = await db.fetch("SELECT * FROM audit_log ORDER BY id")
        return [
            (row["action"], row["actor_kind"], row["actor_id"], json.loads(row["details"]))
            for row in rows
        ]

    return read


async def test_a_session_is_listed_with_device_address_and_times(client, register, listed):
    await register()
    tokens = (await client.post(LOGIN, json=BODY, headers=FROM)).json()

    (session,) = (await listed(tokens))["items"]

    assert session["id"] == claims_of(tokens)["sid"]
    assert (session["device"], session["user_agent"]) == ("Firefox on Windows", FIREFOX)
    assert (session["address"], session["methods"]) == ("192.0.2.7", ["pwd"])
    assert session["current"] is True
    created, used, expires = (
        datetime.fromisoformat(session[name])
        for name in ("created_at", "last_used_at", "expires_at")
    )
    assert created == used
    assert (expires - created).days in {29, 30}


async def test_a_refresh_moves_the_last_use_and_its_place(client, register, log_in, listed, db):
    await register()
    tokens = await log_in()
    await db.execute("UPDATE sessions SET last_used_at = '2026-01-01', expires_at = '2026-02-01'")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = (await client.post(TOKEN, data=form, headers=FROM)).json()

    (session,) = (await listed(fresh))["items"]

    assert session["last_used_at"] > session["created_at"]
    assert session["expires_at"] > session["last_used_at"]
    assert (session["address"], session["device"]) == ("192.0.2.7", "Firefox on Windows")


async def test_a_refresh_keeps_methods_and_time_of_the_log_in(
    register, resources, refresh, db, log_in
):
    await register()
    await log_in()
    async with resources.database.transaction() as unit:
        sessions = make_sessions(resources, unit)
        account = await sessions._accounts.find_by_email(BODY["email"])
        assert account is not None
        opened = await sessions.open(account, methods=("pwd", "otp"))
    first = claims_of({"access_token": opened.access_token})
    await db.execute("UPDATE sessions SET created_at = created_at - interval '1 hour'")
    second = claims_of((await refresh(opened.refresh_token)).json())

    assert first["amr"] == second["amr"] == ["pwd", "otp"]
    assert second["auth_time"] == first["auth_time"] - 3600
    assert second["sid"] == first["sid"]


async def test_only_ones_own_living_sessions_are_listed_newest_first(
    client, register, log_in, listed, db
):
    await register()
    await register("grace@example.com")
    await log_in("grace@example.com")
    expired, ended, old, new = [await log_in() for _ in range(4)]
    sids = [claims_of(tokens)["sid"] for tokens in (expired, ended, old, new)]
    await db.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", UUID(sids[0]))
    await client.delete(f"{SESSIONS}/{sids[1]}", headers=bearer_of(new))

    first = await listed(new, limit=1)
    second = await listed(new, limit=1, cursor=first["next_cursor"])

    items = first["items"] + second["items"]
    assert [item["id"] for item in items] == [sids[3], sids[2]]
    assert [item["current"] for item in items] == [True, False]
    assert second["next_cursor"] is None


async def test_a_session_that_an_earlier_release_opened_is_listed(register, log_in, listed, db):
    await register()
    tokens = await log_in()
    await db.execute("UPDATE sessions SET expires_at = NULL, address = NULL, user_agent = NULL")

    (session,) = (await listed(tokens))["items"]

    assert [session[name] for name in ("expires_at", "address", "device")] == [None] * 3


async def test_ending_a_session_ends_that_one_alone(
    client, register, log_in, refresh, listed, events, audit, db
):
    user = await register()
    other, own = await log_in(), await log_in()
    sid = claims_of(other)["sid"]

    answer = await client.delete(f"{SESSIONS}/{sid}", headers=bearer_of(own) | FROM)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    assert (await refresh(other["refresh_token"])).status_code == 400
    assert (await refresh(own["refresh_token"])).status_code == 200
    assert [item["id"] for item in (await listed(own))["items"]] == [claims_of(own)["sid"]]
    (announced,) = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
    assert (announced["sids"], announced["user_id"]) == ([sid], user["id"])
    ended = ("session.ended", "user", UUID(user["id"]), {"session": sid})
    assert [entry for entry in await audit() if entry[0] == "session.ended"] == [ended]
    entry = await db.fetchrow("SELECT * FROM audit_log WHERE action = 'session.ended'")
    assert (entry["address"], entry["request_id"]) == ("192.0.2.7", "r-1")
    assert entry["session_id"] == UUID(claims_of(own)["sid"])


async def test_an_ended_session_stays_ended_and_is_announced_once(
    client, register, log_in, events, audit, db
):
    await register()
    other, own = await log_in(), await log_in()
    path = f"{SESSIONS}/{claims_of(other)['sid']}"
    statuses = [(await client.delete(path, headers=bearer_of(own))).status_code for _ in range(2)]

    assert statuses == [204, 204]
    assert [kind for kind, _, _ in await events()].count("session.revoked.v1") == 1
    assert [entry[0] for entry in await audit()].count("session.ended") == 1
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_the_session_of_another_is_not_found(client, register, log_in, db, whose):
    await register()
    await register("grace@example.com")
    own, other = await log_in(), await log_in("grace@example.com")
    sid = claims_of(other)["sid"] if whose == "another's" else new_id()

    answer = await client.delete(f"{SESSIONS}/{sid}", headers=bearer_of(own))

    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (404, "session-not-found")
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 2


async def test_all_sessions_end_at_once(client, register, log_in, refresh, events, audit):
    user = await register()
    await register("grace@example.com")
    other = await log_in("grace@example.com")
    own = [await log_in() for _ in range(3)]

    answer = await client.delete(SESSIONS, headers=bearer_of(own[0]))

    assert answer.status_code == 204
    for tokens in own:
        assert (await refresh(tokens["refresh_token"])).status_code == 400
    assert (await refresh(other["refresh_token"])).status_code == 200
    (announced,) = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
    assert sorted(announced["sids"]) == sorted(claims_of(tokens)["sid"] for tokens in own)
    assert ("session.all_ended", "user", UUID(user["id"]), {}) in await audit()


async def test_a_log_in_that_waits_for_the_end_of_all_sessions_opens_one_that_lives(
    client, register, log_in, resources, lock_waiters, db
):
    """The log-in needs the account's lock, which the end of all sessions holds until it commits."""
    user = await register()
    own = await log_in()
    async with resources.database.transaction() as unit:
        sessions = make_sessions(resources, unit)
        await sessions.end_all(UUID(user["id"]), by=actor_of(user, own))
        waiting = asyncio.create_task(client.post(LOGIN, json=BODY))
        await lock_waiters(1)
    sid = UUID(claims_of((await waiting).json())["sid"])
    assert [row["id"] for row in await living(db)] == [sid]


async def living(db):
    return await db.fetch("SELECT id FROM sessions WHERE revoked_at IS NULL")


def actor_of(user, tokens):
    sid = UUID(claims_of(tokens)["sid"])
    return Actor(kind=ActorKind.USER, user_id=UUID(user["id"]), session_id=sid)


async def test_a_log_in_is_on_record_with_its_methods(client, register, audit):
    user = await register()
    tokens = (await client.post(LOGIN, json=BODY, headers=FROM)).json()

    details = {"session": claims_of(tokens)["sid"], "methods": ["pwd"]}
    assert await audit() == [("session.opened", "user", UUID(user["id"]), details)]


async def test_an_ended_session_keeps_no_address_and_no_device(client, register, db):
    await register()
    tokens = (await client.post(LOGIN, json=BODY, headers=FROM)).json()
    await client.delete(SESSIONS, headers=bearer_of(tokens))

    kept = await db.fetchrow("SELECT address, user_agent FROM sessions")
    assert tuple(kept) == (None, None)


async def test_a_long_or_odd_user_agent_is_shortened(client, register, listed):
    await register()
    odd = {"User-Agent": "agent/1\t" + "x" * 5000, "X-Real-IP": "a" * 500}
    tokens = (await client.post(LOGIN, json=BODY, headers=odd)).json()

    (session,) = (await listed(tokens))["items"]

    assert session["user_agent"].startswith("agent/1xxx")
    assert (len(session["user_agent"]), len(session["address"])) == (400, 100)
    assert session["device"] == "agent"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_sessions_need_the_scope_of_ones_own_profile(client, tokens, method):
    answer = await client.request(method, SESSIONS, headers=tokens.headers(scopes=["orders:read"]))
    assert answer.status_code == 403


_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (None, None),
        ("", None),
        (FIREFOX, "Firefox on Windows"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME} Safari/537.36", "Chrome on Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 1) {_CHROME} Safari/537.36", "Chrome on ChromeOS"),
        (
            f"Mozilla/5.0 (Windows NT 10.0) {_CHROME} Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_APPLE} Version/18.0 Safari/605",
            "Safari on macOS",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) {_APPLE} CriOS/140 Safari/604",
            "Chrome on iPhone",
        ),
        (f"Mozilla/5.0 (Linux; Android 15) {_CHROME} Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (compatible; Windows NT 10.0)", "Windows"),
        ("Mozilla/5.0", None),
        ("python-httpx/0.28.1", "python-httpx"),
        ("curl/8.14.1", "curl"),
        ("(no product)", None),
    ],
)
def test_a_device_has_a_short_name(user_agent, device):
    assert device_of(user_agent) == device
