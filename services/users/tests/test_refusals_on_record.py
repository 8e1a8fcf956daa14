"""Refused attempts on an account are in the audit log: few of many, and only of accounts."""

import asyncio
from datetime import timedelta

import pytest

from testkit.authenticator import base64url

LOGIN = "/api/v1/auth/login"
PASSWORD = "/api/v1/users/me/password"
CONFIRM = "/api/v1/email-verifications/confirm"
WRONG = {"email": "ada@example.com", "password": "wrong horse battery"}
FROM = {"X-Real-IP": "192.0.2.7", "X-Request-ID": "r-1"}


@pytest.fixture
def recorded(db):
    """Read the entries of an action: actor's kind, actor, subject, address, request."""

    async def read(action):
        rows = await db.fetch("SELECT * FROM audit_log WHERE action = $1 ORDER BY id", action)
        columns = ("actor_kind", "actor_id", "subject", "address", "request_id")
        return [tuple(row[name] for name in columns) for row in rows]

    return read


async def pass_a_minute(db):
    by = timedelta(minutes=1)
    await db.execute(
        "UPDATE log_in_buckets SET empty_at = empty_at - $1::interval,"
        " expires_at = expires_at - $1::interval",
        by,
    )


async def test_a_failed_log_in_is_on_record_without_an_actor(client, register, recorded):
    user = await register()
    assert (await client.post(LOGIN, json=WRONG, headers=FROM)).status_code == 401
    subject = f"user:{user['id']}"
    assert await recorded("user.log_in_failed") == [("system", None, subject, "192.0.2.7", "r-1")]


async def test_a_log_in_to_a_deactivated_account_is_on_record(client, register, recorded, db):
    await register()
    await db.execute("UPDATE users SET is_active = false")
    body = {**WRONG, "password": "correct horse battery"}
    assert (await client.post(LOGIN, json=body)).status_code == 401
    assert len(await recorded("user.log_in_failed")) == 1


async def test_a_log_in_that_succeeds_or_has_no_account_is_not(client, register, log_in, db):
    await register()
    await log_in()
    await client.post(LOGIN, json={**WRONG, "email": "nobody@example.com"})
    assert [row["action"] for row in await db.fetch("SELECT action FROM audit_log")] == [
        "session.opened"
    ]


async def test_of_many_failed_log_ins_to_an_account_one_a_minute_is_on_record(
    client, register, recorded, db
):
    await register()
    await register("bob@example.com")

    async def fail(number, email):
        headers = {"X-Real-IP": f"192.0.2.{number}"}
        body = {**WRONG, "email": email}
        return (await client.post(LOGIN, json=body, headers=headers)).status_code

    emails = ["ada@example.com", "ADA@example.com", "bob@example.com"] * 3
    failed = await asyncio.gather(*(fail(number, email) for number, email in enumerate(emails)))
    assert set(failed) == {401}
    assert len(await recorded("user.log_in_failed")) == 2, "one for each account"
    await pass_a_minute(db)
    await fail(100, "ada@example.com")
    assert len(await recorded("user.log_in_failed")) == 3


async def test_a_wrong_current_password_is_on_record_once_a_minute(client, bearer, recorded, db):
    user_id = await db.fetchval("SELECT id FROM users")
    body = {"current_password": "wrong horse battery", "new_password": "another horse battery"}
    for _ in range(3):
        assert (await client.put(PASSWORD, json=body, headers=bearer)).status_code == 403
    [entry] = await recorded("user.password_refused")
    assert entry[:3] == ("user", user_id, f"user:{user_id}")


async def test_a_refused_passkey_of_an_account_is_on_record_once_a_minute(
    browser, enrolled, request_options, log_in_with, recorded, db
):
    passkey, _ = await enrolled()
    user_id = await db.fetchval("SELECT id FROM users")
    for _ in range(3):
        credential = browser.get(await request_options(), passkey)
        credential["response"]["signature"] = base64url(b"forged")
        assert (await log_in_with(credential)).status_code == 401
    [entry] = await recorded("passkey.refused")
    assert entry[:3] == ("system", None, f"user:{user_id}")


async def test_a_passkey_that_no_account_has_is_not_on_record(
    browser, enrolled, request_options, log_in_with, recorded
):
    passkey, _ = await enrolled()
    credential = browser.get(await request_options(), passkey)
    credential["id"] = credential["rawId"] = base64url(b"made up")
    assert (await log_in_with(credential)).status_code == 401
    assert await recorded("passkey.refused") == []


async def test_a_verified_address_is_on_record(client, register, mailed, recorded):
    user = await register()
    [mail] = await mailed()
    answer = await client.post(CONFIRM, json={"token": mail["token"]}, headers=FROM)
    assert answer.status_code == 204
    [entry] = await recorded("user.email_verified")
    assert (str(entry[1]), *entry[2:]) == (user["id"], f"user:{user['id']}", "192.0.2.7", "r-1")


async def test_an_address_that_a_reset_verifies_is_on_record(client, register, mailed, recorded):
    await register()
    await client.post("/api/v1/password-resets", json={"email": "ada@example.com"})
    body = {"token": (await mailed())[-1]["token"], "new_password": "another horse battery"}
    for _ in range(2):
        await client.post("/api/v1/password-resets/confirm", json=body)
    assert len(await recorded("user.email_verified")) == 1
