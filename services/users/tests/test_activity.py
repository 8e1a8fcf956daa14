"""An administrator deactivates an account, and reactivates it."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from .test_accounts import USERS, sid_of

LOGIN = "/api/v1/auth/login"
RIGHT = {"email": "ada@example.com", "password": "correct horse battery"}


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["users:write"])


@pytest.fixture
def patch(client, writer):
    """Change an account as an administrator."""

    async def send(user_id, **fields):
        return await client.patch(f"{USERS}/{user_id}", json=fields, headers=writer)

    return send


async def test_a_deactivated_account_cannot_be_used_and_others_learn_it(
    client, register, log_in, refresh, patch, events, db
):
    user = await register()
    tokens = await log_in()

    answer = await patch(user["id"], is_active=False)

    assert answer.status_code == 200
    assert (answer.json()["is_active"], answer.json()["version"]) == (False, 2)
    assert answer.headers["etag"] == '"2"'
    _, deactivated, revoked = await events()
    assert deactivated[:2] == ("user.deactivated.v1", "00000000000000000002")
    assert deactivated[2].keys() == {"version", "user_id", "deactivated_at"}
    assert (revoked[0], revoked[2]["sids"]) == ("session.revoked.v1", [sid_of(tokens)])
    assert (await client.post(LOGIN, json=RIGHT)).status_code == 401
    assert (await refresh(tokens["refresh_token"])).status_code == 400
    assert (
        await db.fetchval("SELECT action FROM audit_log WHERE action <> 'session.opened'")
        == "user.deactivated"
    )
    assert await db.fetchval("SELECT full_name FROM users") == "Ada Lovelace"


async def test_a_reactivated_account_logs_in_again_and_its_old_sessions_stay_ended(
    client, register, log_in, refresh, patch, events, db
):
    user = await register()
    tokens = await log_in()
    await patch(user["id"], is_active=False)

    answer = await patch(user["id"], is_active=True)

    assert (answer.json()["is_active"], answer.json()["version"]) == (True, 3)
    kind, sequence, data = (await events())[-1]
    assert (kind, sequence) == ("user.reactivated.v1", "00000000000000000003")
    assert data.keys() == {"version", "user_id", "reactivated_at"}
    assert (await refresh(tokens["refresh_token"])).status_code == 400
    assert (await client.post(LOGIN, json=RIGHT)).status_code == 200
    actions = await db.fetch(
        "SELECT action FROM audit_log WHERE action <> 'session.opened' ORDER BY id"
    )
    assert [row["action"] for row in actions] == ["user.deactivated", "user.reactivated"]


@pytest.mark.parametrize("before", [True, False])
async def test_an_activity_that_stays_is_not_announced(register, patch, events, db, before):
    user = await register()
    await patch(user["id"], is_active=before)
    announced, recorded = await events(), await db.fetchval("SELECT count(*) FROM audit_log")

    answer = await patch(user["id"], is_active=before)

    assert answer.status_code == 200
    assert await events() == announced
    assert await db.fetchval("SELECT count(*) FROM audit_log") == recorded


async def test_roles_and_activity_change_together_with_an_event_each(
    register, log_in, patch, events
):
    user = await register()
    tokens = await log_in()

    answer = await patch(user["id"], roles=["support"], is_active=False)

    assert (answer.json()["roles"], answer.json()["is_active"]) == (["support"], False)
    assert answer.json()["version"] == 3
    announced = [(kind, sequence) for kind, sequence, _ in await events()]
    assert announced[1:] == [
        ("user.roles_changed.v1", "00000000000000000002"),
        ("user.deactivated.v1", "00000000000000000003"),
        ("session.revoked.v1", None),
    ]
    assert (await events())[-1][2]["sids"] == [sid_of(tokens)]


@pytest.mark.parametrize("value", [None, "false", 0, []])
async def test_what_is_no_boolean_is_refused(register, patch, events, value):
    user = await register()
    answer = await patch(user["id"], is_active=value)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/is_active"]
    assert len(await events()) == 1


async def test_the_last_admin_is_not_deactivated(register, patch, events, db):
    ada, grace = await register(), await register("grace@example.com")
    await db.execute("UPDATE users SET roles = ARRAY['admin'] WHERE id = $1", UUID(ada["id"]))
    before = await events()

    for fields in (
        {"is_active": False},
        {"is_active": False, "roles": ["admin"]},
        {"is_active": True, "roles": ["support"]},
    ):
        answer = await patch(ada["id"], **fields)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("/last-admin")

    assert await events() == before
    assert (await patch(grace["id"], roles=["admin"])).status_code == 200
    assert (await patch(ada["id"], is_active=False)).status_code == 200
    assert (await patch(grace["id"], roles=["support"])).status_code == 409


async def test_an_inactive_admin_may_lose_the_role_and_be_made_a_customer(register, patch, db):
    ada, grace = await register(), await register("grace@example.com")
    await db.execute("UPDATE users SET roles = ARRAY['admin']")
    await patch(ada["id"], is_active=False)
    assert (await patch(ada["id"], roles=["customer"], is_active=True)).status_code == 200
    assert (await patch(grace["id"], is_active=False)).status_code == 409


@pytest.mark.parametrize("other", [{"is_active": False}, {"roles": ["support"]}])
async def test_of_two_admins_who_end_each_others_administration_at_once_one_stays(
    register, patch, held_accounts, db, other
):
    """Each of them still sees the other as administrator when it checks."""
    ada, grace = await register(), await register("grace@example.com")
    await db.execute("UPDATE users SET roles = ARRAY['admin']")

    answers = await held_accounts(patch(ada["id"], is_active=False), patch(grace["id"], **other))

    assert [answer.status_code for answer in answers] == [200, 409]
    assert await db.fetchval("SELECT count(*) FROM users WHERE is_active") == 1


async def test_between_the_verification_of_a_log_in_and_its_session_the_account_is_deactivated(
    client, register, patch, held_accounts, db
):
    user = await register()

    deactivated, logged_in = await held_accounts(
        patch(user["id"], is_active=False), client.post(LOGIN, json=RIGHT)
    )

    assert (deactivated.status_code, logged_in.status_code) == (200, 401)
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_between_the_deactivation_and_its_commit_a_log_in_opens_a_session(
    client, register, patch, held_accounts, events, db
):
    """The log-in locked the account first. Its session must end with the others."""
    user = await register()

    logged_in, deactivated = await held_accounts(
        client.post(LOGIN, json=RIGHT), patch(user["id"], is_active=False)
    )

    assert (logged_in.status_code, deactivated.status_code) == (200, 200)
    assert (await events())[-1][2]["sids"] == [sid_of(logged_in.json())]
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


async def test_between_the_check_of_a_refresh_and_its_commit_the_account_is_deactivated(
    register, log_in, refresh, patch, database, lock_waiters, events
):
    """The refresh read the account as active. Its access token must end with the session."""
    user = await register()
    tokens = await log_in()
    holder = await asyncpg.connect(database.runtime_url)
    transaction = holder.transaction()
    await transaction.start()
    # The refresh waits for its last statement, after it read the account.
    await holder.execute("LOCK TABLE refresh_tokens IN SHARE ROW EXCLUSIVE MODE")
    refreshing = asyncio.create_task(refresh(tokens["refresh_token"]))
    await lock_waiters(1)
    deactivating = asyncio.create_task(patch(user["id"], is_active=False))
    await lock_waiters(2)
    await transaction.rollback()
    await holder.close()
    refreshed, deactivated = await asyncio.gather(refreshing, deactivating)
    assert (refreshed.status_code, deactivated.status_code) == (200, 200)
    assert (await events())[-1][2]["sids"] == [sid_of(tokens)]
    again = await refresh(refreshed.json()["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
