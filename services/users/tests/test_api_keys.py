"""API keys of an account: what their owner can do, and what is stored and recorded of them."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.api import create_api
from chassis.auth.api_keys import is_well_formed, new_api_key
from chassis.auth.opaque import token_hash
from chassis.auth.recency import RECENT
from chassis.database import new_id
from testkit.clients import client_of
from testkit.statements import statements_of_requests
from users.api_keys.jobs import prune_ended_keys
from users.api_keys.models import (
    ENDED_KEYS_KEPT,
    LONGEST_LIFETIME,
    MAX_KEYS,
    USUAL_LIFETIME,
)
from users.declaration import SERVICE

KEYS = "/api/v1/api-keys"
MINUTE = timedelta(minutes=1)
BODY = {"name": "Warehouse", "scopes": ["orders:read"]}


@pytest.fixture
def create(client, bearer):
    """Create an API key, and return the response."""

    async def post(*, headers=None, **changes):
        return await client.post(KEYS, json=BODY | changes, headers=headers or bearer)

    return post


@pytest.fixture
def listed(client, bearer):
    async def get(headers=None):
        answer = await client.get(KEYS, headers=headers or bearer)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    return get


def in_days(days):
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def audited(db, action):
    rows = await db.fetch("SELECT * FROM audit_log WHERE action = $1 ORDER BY id", action)
    return [dict(row) | {"details": json.loads(row["details"])} for row in rows]


async def test_a_key_is_shown_once_and_stored_as_a_hash(client, bearer, create, listed, db):
    answer = await create()
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    created = answer.json()
    secret = created.pop("api_key")
    assert is_well_formed(secret)
    assert secret.startswith(f"{created['prefix']}_")
    assert await listed() == [created]
    read = await client.get(answer.headers["location"], headers=bearer)
    assert (read.status_code, read.json()) == (200, created)
    assert created["last_used_at"] is created["revoked_at"] is None
    (row,) = await db.fetch("SELECT * FROM api_keys")
    assert row["key_hash"] == token_hash(secret)
    assert secret.rpartition("_")[2] not in repr(dict(row))


async def test_a_new_key_is_on_record_without_its_secret(create, db):
    created = (await create(headers=None)).json()
    (entry,) = await audited(db, "api_key.created")
    assert entry["subject"] == f"user:{entry['actor_id']}"
    assert entry["session_id"] is not None
    owner = await db.fetchval("SELECT id FROM users")
    assert entry["actor_id"] == owner
    details = entry["details"]
    assert datetime.fromisoformat(details.pop("expires_at")) == datetime.fromisoformat(
        created["expires_at"]
    )
    assert details == {
        "api_key_id": created["id"],
        "prefix": created["prefix"],
        "scopes": ["orders:read"],
    }


async def test_scopes_are_stored_once_and_sorted(create):
    created = await create(scopes=["profile", "orders:read", "profile"])
    assert created.json()["scopes"] == ["orders:read", "profile"]


@pytest.mark.parametrize(
    ("scopes", "pointer"),
    [
        (["orders:fulfil"], "#/scopes/0"),
        (["orders:read", "users:write"], "#/scopes/1"),
        (["orders:read", "no:such"], "#/scopes/1"),
        (["ORDERS:READ"], "#/scopes/0"),
        ([], "#/scopes"),
    ],
)
async def test_a_key_has_only_scopes_of_its_owner(create, listed, db, scopes, pointer):
    answer = await create(scopes=scopes)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await listed() == []
    assert await audited(db, "api_key.created") == []


async def test_a_key_has_only_scopes_of_the_token_that_asks_for_it(
    create, register, verify_address, tokens
):
    """A token with few scopes must not make itself a key with more."""
    user = await register("grace@example.com")
    await verify_address("grace@example.com")
    narrow = tokens.headers(subject=UUID(user["id"]), scopes=["profile"])
    assert (await create(headers=narrow)).status_code == 422
    assert (await create(headers=narrow, scopes=["profile"])).status_code == 201


async def test_a_token_with_more_scopes_than_its_owner_makes_no_key_with_them(
    create, register, verify_address, tokens
):
    """The roles changed a moment ago, and the token is not rejected yet."""
    user = await register("grace@example.com")
    await verify_address("grace@example.com")
    stale = tokens.headers(subject=UUID(user["id"]), scopes=["profile", "users:write"])
    assert (await create(headers=stale, scopes=["users:write"])).status_code == 422


async def test_a_key_expires_in_90_days_unless_its_owner_says_otherwise(create):
    before = datetime.now(UTC)
    usual = datetime.fromisoformat((await create()).json()["expires_at"])
    assert before + USUAL_LIFETIME <= usual <= datetime.now(UTC) + USUAL_LIFETIME
    wanted = in_days(LONGEST_LIFETIME.days - 1)
    chosen = (await create(expires_at=wanted)).json()["expires_at"]
    assert datetime.fromisoformat(chosen) == datetime.fromisoformat(wanted)


@pytest.mark.parametrize("days", [-1, LONGEST_LIFETIME.days + 1, 365 * 1000])
async def test_a_key_expires_within_its_bounds(create, days):
    answer = await create(expires_at=in_days(days))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/expires_at"]


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0b", 1, None])
async def test_a_key_has_a_name(create, name):
    assert (await create(name=name)).status_code == 422


async def fill(db, count):
    """Insert valid keys of the only account, and two that have ended."""
    await db.execute(
        "INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, expires_at, revoked_at)"
        " SELECT gen_random_uuid(), users.id, 'x', 'x', sha256(n::text::bytea), '{profile}',"
        " now() + CASE WHEN n = 1 THEN interval '-1 s' ELSE interval '1 d' END,"
        " CASE WHEN n = 2 THEN now() END"
        " FROM users, generate_series(1, $1) AS n",
        count + 2,
    )


async def test_an_account_has_a_bounded_number_of_valid_keys(create, bearer, db):
    del bearer  # the account
    await fill(db, MAX_KEYS - 1)
    assert (await create()).status_code == 201
    answer = await create()
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/too-many-api-keys")


async def test_a_list_shows_ones_own_keys_the_newest_first_in_pages(
    client, create, bearer, register, log_in, verify_address
):
    await register("grace@example.com")
    await verify_address("grace@example.com")
    grace = {"Authorization": f"Bearer {(await log_in('grace@example.com'))['access_token']}"}
    await create(headers=grace)
    names = [f"key {number}" for number in range(3)]
    for name in names:
        await create(name=name)
    first = (await client.get(f"{KEYS}?limit=2", headers=bearer)).json()
    cursor = first["next_cursor"]
    second = (await client.get(f"{KEYS}?limit=2&cursor={cursor}", headers=bearer)).json()
    found = [item["name"] for page in (first, second) for item in page["items"]]
    assert found == names[::-1]
    assert second["next_cursor"] is None


async def test_a_list_is_one_statement_and_uses_the_index(settings, register, tokens, db):
    user = await register()
    headers = tokens.headers(subject=UUID(user["id"]), scopes=["profile"])
    app = create_api(SERVICE, settings)
    async with client_of(app) as client:
        await client.get(KEYS, headers=headers)
        async with statements_of_requests(app.state.database) as sent:
            assert (await client.get(KEYS, headers=headers)).status_code == 200
    assert [sql.split()[0] for sql in sent] == ["SELECT"]
    await db.execute("SET enable_seqscan = off; SET enable_sort = off")
    plan = await db.fetch(
        "EXPLAIN SELECT * FROM api_keys WHERE user_id = $1"
        " ORDER BY created_at DESC, id DESC LIMIT 21",
        UUID(user["id"]),
    )
    text = "\n".join(row[0] for row in plan)
    assert "ix_api_keys_user_id_created_at_id" in text
    assert "Sort" not in text


async def test_a_revoked_key_stays_in_the_list_and_is_on_record(client, create, bearer, listed, db):
    key_id = (await create()).json()["id"]
    answer = await client.delete(f"{KEYS}/{key_id}", headers=bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    (key,) = await listed()
    assert key["revoked_at"] is not None
    (entry,) = await audited(db, "api_key.revoked")
    owner = await db.fetchval("SELECT id FROM users")
    assert (entry["actor_id"], entry["subject"]) == (owner, f"user:{owner}")
    assert entry["details"] == {"api_key_id": key_id}


async def test_a_key_is_revoked_once_however_often_it_is_asked_for(
    client, create, bearer, listed, db
):
    key_id = (await create()).json()["id"]
    for _ in range(3):
        assert (await client.delete(f"{KEYS}/{key_id}", headers=bearer)).status_code == 204
    assert len(await audited(db, "api_key.revoked")) == 1
    (key,) = await listed()
    await db.execute("UPDATE api_keys SET revoked_at = NULL, expires_at = now() - interval '1 s'")
    assert (await client.delete(f"{KEYS}/{key_id}", headers=bearer)).status_code == 204
    assert (await listed())[0]["revoked_at"] is None, key


async def test_nobody_reads_or_revokes_another_accounts_key(
    client, create, bearer, register, log_in, verify_address, db
):
    await register("grace@example.com")
    await verify_address("grace@example.com")
    grace = {"Authorization": f"Bearer {(await log_in('grace@example.com'))['access_token']}"}
    foreign = (await create(headers=grace)).json()["id"]
    for key_id in (foreign, new_id()):
        for method in ("GET", "DELETE"):
            answer = await client.request(method, f"{KEYS}/{key_id}", headers=bearer)
            assert answer.status_code == 404
            assert answer.json()["type"].endswith("/api-key-not-found")
    assert await db.fetchval("SELECT revoked_at FROM api_keys") is None


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_an_api_key_manages_no_keys(client, register, tokens, method):
    """A stolen key could otherwise replace itself before it is revoked."""
    user = await register()
    token = tokens.token(subject=UUID(user["id"]), scopes=["profile"], api_key_id=new_id())
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{KEYS}/{new_id()}" if method == "DELETE" else KEYS
    answer = await client.request(
        method, path, headers=headers, json=BODY if method == "POST" else None
    )
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/log-in-required")


async def test_an_old_log_in_creates_no_key_even_if_its_session_was_refreshed(
    client, log_in, create, refresh, db
):
    """A stolen access token must not become a key that is valid for months."""
    tokens = await log_in()
    await db.execute("UPDATE sessions SET created_at = now() - $1::interval", RECENT)
    refreshed = (await refresh(tokens["refresh_token"])).json()
    old = {"Authorization": f"Bearer {refreshed['access_token']}"}
    answer = await client.post(KEYS, json=BODY, headers=old)
    assert answer.status_code == 401
    assert answer.json()["type"].endswith("/reauthentication-needed")
    assert (await client.get(KEYS, headers=old)).status_code == 200
    again = {"Authorization": f"Bearer {(await log_in())['access_token']}"}
    assert (await create(headers=again)).status_code == 201


async def test_a_deleted_account_has_no_keys_to_create(create, tokens):
    headers = tokens.headers(scopes=["profile"])
    assert (await create(headers=headers, scopes=["profile"])).status_code == 404


async def test_ended_keys_are_deleted_after_a_while(create, resources, db):
    async def pruned():
        async with resources.database.transaction() as unit:
            return await prune_ended_keys(unit, 100)

    for name in ("valid", "expired", "revoked"):
        await create(name=name)
    for column, name in (("expires_at", "expired"), ("revoked_at", "revoked")):
        await db.execute(
            f"UPDATE api_keys SET {column} = now() - $1::interval WHERE name = $2",
            ENDED_KEYS_KEPT - MINUTE,
            name,
        )
    assert await pruned() == 0
    await db.execute(
        "UPDATE api_keys SET expires_at = expires_at - $1::interval,"
        " revoked_at = revoked_at - $1::interval",
        2 * MINUTE,
    )
    assert await pruned() == 2
    assert await db.fetchval("SELECT name FROM api_keys") == "valid"


async def test_a_text_that_is_no_key_is_hashed_like_one(client):
    for text in ("x", "x" * 256, new_api_key(), "é\u202e"):
        answer = await client.post("/api-key-exchanges", json={"api_key": text})
        assert answer.status_code == 401
        assert text not in answer.text or text == "x"


async def test_no_log_line_holds_a_key(client, create, capsys):
    key = (await create()).json()["api_key"]
    await client.post("/api-key-exchanges", json={"api_key": key})
    refused = await client.post("/api-key-exchanges", json={"api_key": key, "other": key})
    assert refused.status_code == 422
    written = capsys.readouterr()
    text = written.out + written.err + refused.text
    assert "request ended" in text
    assert key.rpartition("_")[2][:20] not in text
