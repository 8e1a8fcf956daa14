"""Verification of an address: a mailed token verifies it once, and only that address."""

import json
from datetime import timedelta

import pytest

from chassis.auth.opaque import token_hash
from users.one_time_tokens.jobs import prune_one_time_tokens

from .conftest import assert_invalid_token

REQUEST = "/api/v1/email-verifications"
CONFIRM = "/api/v1/email-verifications/confirm"
RESET = "/api/v1/password-resets"
ME = "/api/v1/users/me"
ADA = {"email": "ada@example.com"}


async def test_a_registration_mails_a_token_that_verifies_the_address(
    register, mailed, confirm_email, events, client, db, log_in
):
    user = await register()
    [mail] = await mailed()
    assert mail == {
        "type": "email_verification.requested.v1",
        "user_id": user["id"],
        "email": "ada@example.com",
        "locale": "en",
        "token": mail["token"],
        "expires_at": mail["expires_at"],
    }
    assert user["email_verified"] is False

    answer = await confirm_email(mail["token"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await events())[-1] == (
        "user.email_verified.v1",
        "00000000000000000002",
        {"version": 2, "user_id": user["id"], "email": "ada@example.com"},
    )
    bearer = {"Authorization": f"Bearer {(await log_in())['access_token']}"}
    read = (await client.get(ME, headers=bearer)).json()
    assert (read["email_verified"], read["version"]) == (True, 2)
    assert await db.fetchval("SELECT count(*) FROM one_time_tokens") == 0


async def test_a_user_who_is_not_verified_can_log_in(register, log_in):
    await register()
    assert (await log_in())["access_token"]


async def test_a_token_has_256_bits_and_is_stored_as_a_hash(register, mailed, db):
    await register()
    [mail] = await mailed()
    row = await db.fetchrow("SELECT *, expires_at - created_at AS lifetime FROM one_time_tokens")
    assert len(mail["token"]) == 43  # base64 of 32 bytes
    assert row["token_hash"] == token_hash(mail["token"])
    assert row["lifetime"] == timedelta(days=1)
    assert not any(text in str(dict(row)) for text in (mail["token"], "ada"))
    assert mail["token"] not in str(await db.fetch("SELECT * FROM jobs"))


async def test_a_token_is_accepted_once(register, mailed, confirm_email, events):
    await register()
    [mail] = await mailed()
    assert (await confirm_email(mail["token"])).status_code == 204
    assert_invalid_token(await confirm_email(mail["token"]))
    assert [event for event, _, _ in await events()].count("user.email_verified.v1") == 1


@pytest.mark.parametrize("token", ["x", "\u00fc" * 43, "a" * 512])
async def test_a_token_that_was_never_issued_is_invalid(register, mailed, confirm_email, token):
    await register()
    await mailed()
    assert_invalid_token(await confirm_email(token))


@pytest.mark.parametrize(
    "body",
    [{}, {"token": ""}, {"token": "a" * 513}, {"token": 1}, {"token": "x", "email": "a@b.c"}],
)
async def test_a_body_that_is_not_valid_is_pointed_to(client, body):
    answer = await client.post(CONFIRM, json=body)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/validation-failed")
    assert "aaaaaaaaaa" not in answer.text


async def test_a_token_that_expired_is_invalid_and_deleted(
    register, mailed, confirm_email, db, resources
):
    await register()
    [mail] = await mailed()
    async with resources.database.transaction() as unit:
        assert await prune_one_time_tokens(unit, 10) == 0
    await db.execute("UPDATE one_time_tokens SET expires_at = now()")
    assert_invalid_token(await confirm_email(mail["token"]))
    async with resources.database.transaction() as unit:
        assert await prune_one_time_tokens(unit, 10) == 1
    assert await db.fetchval("SELECT count(*) FROM one_time_tokens") == 0


async def test_expired_tokens_are_deleted_in_batches(register, mailed, client, db, resources):
    await register()
    for _ in range(2):
        await client.post(REQUEST, json=ADA)
    await mailed()
    await db.execute("UPDATE one_time_tokens SET expires_at = now()")
    deleted: list[int] = []
    while not deleted or deleted[-1]:
        async with resources.database.transaction() as unit:
            deleted.append(await prune_one_time_tokens(unit, 2))
    assert deleted == [2, 1, 0]


async def test_another_mail_can_be_asked_for_and_the_earlier_one_stays_valid(
    register, mailed, confirm_email, client
):
    """Whoever asked for the second may be a stranger."""
    await register()
    answer = await client.post(REQUEST, json={"email": "ADA@Example.com"})
    assert answer.status_code == 202
    assert answer.json() == {
        "detail": "A mail is sent if the address has an account that needs it."
    }
    earlier, later = await mailed()
    assert {earlier["email"], later["email"]} == {"ada@example.com"}
    assert earlier["token"] != later["token"]
    assert (await confirm_email(earlier["token"])).status_code == 204


async def test_a_second_mail_of_a_verified_address_changes_nothing(
    register, mailed, confirm_email, client, events
):
    await register()
    await client.post(REQUEST, json=ADA)
    earlier, later = await mailed()
    await confirm_email(earlier["token"])
    assert (await confirm_email(later["token"])).status_code == 204
    assert [event for event, _, _ in await events()].count("user.email_verified.v1") == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET email_verified = true",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
    ],
)
async def test_an_account_that_needs_no_verification_gets_no_mail(
    register, mailed, client, db, change
):
    await register()
    await db.execute(change)
    assert (await client.post(REQUEST, json=ADA)).status_code == 202
    assert await mailed() == []


@pytest.mark.parametrize(
    "change",
    ["UPDATE users SET is_active = false", "UPDATE users SET email = 'eve@example.com'"],
)
async def test_a_token_ends_with_its_account_or_address(
    register, mailed, confirm_email, db, change
):
    await register()
    [mail] = await mailed()
    await db.execute(change)
    assert_invalid_token(await confirm_email(mail["token"]))


async def test_a_token_goes_with_its_account(register, mailed, db):
    await register()
    await mailed()
    await db.execute("DELETE FROM users")
    assert await db.fetchval("SELECT count(*) FROM one_time_tokens") == 0


async def test_a_token_is_accepted_for_its_purpose_alone(register, mailed, confirm_email, client):
    await register()
    await client.post(RESET, json=ADA)
    verification, reset = await mailed()
    assert_invalid_token(await confirm_email(reset["token"]))
    body = {"token": verification["token"], "new_password": "another horse battery"}
    assert_invalid_token(await client.post(f"{RESET}/confirm", json=body))
    assert (await confirm_email(verification["token"])).status_code == 204


async def test_no_event_but_the_private_one_carries_the_token(register, mailed, confirm_email, db):
    await register()
    [mail] = await mailed()
    await confirm_email(mail["token"])
    rows = await db.fetch("SELECT topic, headers, payload FROM outbox")
    holding = {
        row["topic"] for row in rows if mail["token"] in f"{row['payload']} {row['headers']}"
    }
    assert holding == {"slipway.users.private"}
    assert mail["token"] not in json.dumps([str(row) for row in await db.fetch("TABLE audit_log")])
