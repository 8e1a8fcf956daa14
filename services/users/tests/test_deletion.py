"""A user deletes their account: no personal data stays, all sessions end, and others learn it."""

import asyncio

import asyncpg
import pytest

from .conftest import bearer_of, status_and_kind
from .test_accounts import ME, USERS, sid_of

LOGIN = "/api/v1/auth/login"
PERSONAL = ("ada@example.com", "Ada", "Lovelace", "argon2")


@pytest.fixture
def make_older(db, refresh):
    """Let a log-in be this many seconds ago, and return its refreshed tokens."""

    async def make(tokens, seconds):
        await db.execute(
            "UPDATE sessions SET created_at = now() - $1 * interval '1 second'", seconds
        )
        return (await refresh(tokens["refresh_token"])).json()

    return make


async def rows_of(db):
    """Return all rows of the service's tables, as text. The outbox keeps its own until sent."""
    tables = await db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema::regnamespace"
        " AND relkind IN ('r', 'p') AND relname <> 'outbox'"
    )
    names = [row["relname"] for row in tables]
    return {name: str(await db.fetch(f"SELECT * FROM {name}")) for name in names}


async def test_the_account_is_gone_and_its_end_is_announced(client, register, log_in, events):
    user = await register()
    await client.patch(ME, json={"full_name": "Ada King"}, headers=bearer_of(await log_in()))
    tokens = await log_in()

    answer = await client.delete(ME, headers=bearer_of(tokens))

    assert (answer.status_code, answer.content) == (204, b"")
    [(sequence, data)] = [
        (sequence, data) for kind, sequence, data in await events() if kind == "user.deleted.v1"
    ]
    assert sequence == "00000000000000000003"
    assert data.keys() == {"version", "user_id", "deleted_at"}
    assert (data["user_id"], data["version"]) == (user["id"], 3)
    assert (await client.get(ME, headers=bearer_of(tokens))).status_code == 404
    body = {"email": user["email"], "password": "correct horse battery"}
    assert (await client.post(LOGIN, json=body)).status_code == 401


async def test_no_personal_data_stays(client, register, log_in, db):
    await register()
    tokens = await log_in()
    before = str(await rows_of(db))
    assert all(word in before for word in PERSONAL)

    await client.delete(ME, headers=bearer_of(tokens))

    for table, rows in (await rows_of(db)).items():
        found = [word for word in PERSONAL if word in rows]
        assert not found, table
    for table in ("users", "sessions", "refresh_tokens"):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_the_deletion_is_on_record_by_the_id_alone(client, register, log_in, db):
    user = await register()
    tokens = await log_in()
    await client.delete(ME, headers=bearer_of(tokens))
    [entry] = await db.fetch("SELECT * FROM audit_log WHERE action = 'user.deleted'")
    assert entry["subject"] == f"user:{user['id']}"
    assert (str(entry["actor_id"]), str(entry["session_id"])) == (user["id"], sid_of(tokens))
    assert entry["details"] == "{}"


async def test_all_sessions_end_also_the_one_that_deleted_it(
    client, register, log_in, refresh, events
):
    await register()
    tokens, other = await log_in(), await log_in()
    await client.delete(ME, headers=bearer_of(tokens))
    [revoked] = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
    assert sorted(revoked["sids"]) == sorted([sid_of(tokens), sid_of(other)])
    for one in (tokens, other):
        answer = await refresh(one["refresh_token"])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_the_address_can_be_registered_again_and_is_another_account(client, register, log_in):
    first = await register()
    await client.delete(ME, headers=bearer_of(await log_in()))
    second = await register("ADA@example.com")
    assert second["id"] != first["id"]
    assert second["version"] == 1


async def test_another_account_stays(client, register, log_in, refresh):
    await register()
    grace = await register("grace@example.com")
    others = await log_in("grace@example.com")
    await client.delete(ME, headers=bearer_of(await log_in()))
    assert (await client.get(ME, headers=bearer_of(others))).json() == grace
    assert (await refresh(others["refresh_token"])).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(290, 204), (301, 401), (86_400, 401)])
async def test_a_log_in_of_long_ago_is_not_enough_although_its_token_is_new(
    client, register, log_in, make_older, db, seconds, status
):
    await register()
    tokens = await make_older(await log_in(), seconds)

    answer = await client.delete(ME, headers=bearer_of(tokens))

    assert answer.status_code == status
    assert await db.fetchval("SELECT count(*) FROM users") == (status == 401)
    if status == 401:
        assert answer.json()["type"].endswith("/reauthentication-needed")
        assert answer.json()["max_age"] == 300
        assert answer.headers["www-authenticate"] == (
            'Bearer error="insufficient_user_authentication", max_age="300"'
        )


async def test_an_old_version_is_refused(client, register, log_in):
    await register()
    headers = {**bearer_of(await log_in()), "If-Match": '"7"'}
    assert (await client.delete(ME, headers=headers)).status_code == 412


async def test_the_last_admin_stays_until_there_is_another(client, register, log_in, db, events):
    await register()
    other = await register("grace@example.com")
    await db.execute("UPDATE users SET roles = ARRAY['admin'] WHERE email = 'ada@example.com'")
    tokens = await log_in()
    before = await events()

    refused = await client.delete(ME, headers=bearer_of(tokens))

    assert (refused.status_code, await events()) == (409, before)
    assert refused.json()["type"].endswith("/last-admin")
    promote = {"roles": ["admin"]}
    await client.patch(f"{USERS}/{other['id']}", json=promote, headers=bearer_of(tokens))
    assert (await client.delete(ME, headers=bearer_of(tokens))).status_code == 204


async def test_of_two_admins_who_delete_themselves_at_once_one_stays(
    client, register, log_in, held_accounts, db
):
    """Each of them still sees the other as administrator when it checks."""
    emails = ["ada@example.com", "grace@example.com"]
    for email in emails:
        await register(email)
    await db.execute("UPDATE users SET roles = ARRAY['admin']")
    tokens = [await log_in(email) for email in emails]

    answers = await held_accounts(*(client.delete(ME, headers=bearer_of(one)) for one in tokens))

    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert await db.fetchval("SELECT count(*) FROM users") == 1


async def test_the_access_token_of_an_administrator_who_deleted_the_account_changes_no_roles(
    client, register, log_in, db
):
    """Its session leaves no row, and its end may not be announced yet."""
    await register()
    grace = await register("grace@example.com")
    await db.execute("UPDATE users SET roles = ARRAY['admin']")
    tokens = await log_in()
    assert (await client.delete(ME, headers=bearer_of(tokens))).status_code == 204

    answer = await client.patch(
        f"{USERS}/{grace['id']}", json={"roles": ["admin", "support"]}, headers=bearer_of(tokens)
    )

    assert status_and_kind(answer) == (401, "unauthenticated")
    assert await db.fetchval("SELECT roles FROM users") == ["admin"]


async def test_an_account_is_deleted_once(client, register, log_in, held_accounts, events):
    await register()
    one, other = await log_in(), await log_in()

    answers = await held_accounts(
        *(client.delete(ME, headers=bearer_of(each)) for each in (one, other))
    )

    assert [answer.status_code for answer in answers] == [204, 404]
    assert [kind for kind, *_ in await events()].count("user.deleted.v1") == 1


async def test_between_the_verification_of_a_log_in_and_its_session_the_account_is_deleted(
    client, register, log_in, held_accounts, db
):
    user = await register()
    tokens = await log_in()
    body = {"email": user["email"], "password": "correct horse battery"}

    deleted, logged_in = await held_accounts(
        client.delete(ME, headers=bearer_of(tokens)), client.post(LOGIN, json=body)
    )

    assert (deleted.status_code, logged_in.status_code) == (204, 401)
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_between_the_deletion_and_its_commit_the_address_is_registered_again(
    client, register, database, lock_waiters, db
):
    """The registration waits for the deletion. It must see that the address is free."""
    first = await register()
    holder = await asyncpg.connect(database.runtime_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("DELETE FROM users")
    body = {"email": first["email"], "password": "correct horse battery", "full_name": "Ada"}
    registering = asyncio.create_task(client.post(USERS, json=body))
    await lock_waiters(1)
    await transaction.commit()
    await holder.close()
    assert (await registering).status_code == 201
    assert await db.fetchval("SELECT count(*) FROM users") == 1
