"""Password reset: a mailed token replaces the password once, and ends all log-in sessions."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chassis.actor import Origin
from chassis.auth.passwords import Passwords, PasswordsBusy
from users.one_time_tokens.errors import InvalidOneTimeToken
from users.password_resets.service import PasswordReset
from users.password_resets.wiring import password_reset_transaction

from .conftest import PASSWORD, assert_invalid_token

RESET = "/api/v1/password-resets"
LOGIN = "/api/v1/auth/login"
ADA = {"email": "ada@example.com"}
NEW = "another horse battery"
FROM: dict[str, Any] = {
    "origin": Origin(address="192.0.2.7", request_id="r-1"),
    "address": "192.0.2.7",
}


@pytest.fixture
def confirm(client):
    async def post(token, password=NEW, **headers):
        body = {"token": token, "new_password": password}
        return await client.post(f"{RESET}/confirm", json=body, headers=headers)

    return post


@pytest.fixture
def reset_mail(client, mailed):
    """Ask for a reset, and return the request for its mail."""

    async def ask(email="ada@example.com", **headers):
        answer = await client.post(RESET, json={"email": email}, headers=headers)
        assert answer.status_code == 202, answer.text
        mails = [mail for mail in await mailed() if mail["type"].startswith("password_reset")]
        return mails[-1]

    return ask


async def test_a_user_chooses_a_new_password_with_the_token_of_a_mail(
    register, reset_mail, confirm, log_in_status, db
):
    user = await register()
    mail = await reset_mail("Ada@Example.com")
    assert mail == {
        "type": "password_reset.requested.v1",
        "user_id": user["id"],
        "email": "ada@example.com",
        "locale": "en",
        "token": mail["token"],
        "expires_at": mail["expires_at"],
    }
    lifetime = await db.fetchval(
        "SELECT expires_at - created_at FROM one_time_tokens WHERE purpose = 'reset_password'"
    )
    assert lifetime == timedelta(minutes=30)

    answer = await confirm(mail["token"])

    assert (answer.status_code, answer.content) == (204, b""), answer.text
    assert "set-cookie" not in answer.headers
    assert await log_in_status(PASSWORD) == 401
    assert await log_in_status(NEW) == 200


async def test_a_reset_ends_all_sessions_and_announces_it(
    register, log_in, reset_mail, confirm, refresh, events
):
    await register()
    first, second = await log_in(), await log_in()
    mail = await reset_mail()
    await confirm(mail["token"])

    for tokens in (first, second):
        assert (await refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    [revoked] = [data for event, _, data in await events() if event == "session.revoked.v1"]
    assert len(revoked["sids"]) == 2
    assert await refresh((await log_in(password=NEW))["refresh_token"])


async def test_a_reset_verifies_the_address_once(register, reset_mail, confirm, events):
    """The token came by mail, so mails to the address arrive."""
    user = await register()
    await confirm((await reset_mail())["token"])
    await confirm((await reset_mail())["token"], "yet another horse")
    verified = [one for one in await events() if one[0] == "user.email_verified.v1"]
    assert verified == [
        (
            "user.email_verified.v1",
            "00000000000000000003",
            {"version": 3, "user_id": user["id"], "email": "ada@example.com"},
        )
    ]


async def test_a_token_is_accepted_once(register, reset_mail, confirm, log_in_status):
    await register()
    mail = await reset_mail()
    assert (await confirm(mail["token"])).status_code == 204
    assert_invalid_token(await confirm(mail["token"], "yet another horse"))
    assert await log_in_status(NEW) == 200


async def test_one_reset_ends_all_other_tokens_of_the_account(register, reset_mail, confirm):
    await register()
    earlier, later = await reset_mail(), await reset_mail()
    assert (await confirm(earlier["token"])).status_code == 204
    assert_invalid_token(await confirm(later["token"], "yet another horse"))


async def test_a_stranger_who_asks_again_does_not_end_the_token_of_a_mail(
    register, reset_mail, confirm
):
    await register()
    mail = await reset_mail()
    await reset_mail(**{"X-Real-IP": "203.0.113.9"})
    assert (await confirm(mail["token"])).status_code == 204


async def test_a_token_that_expired_is_invalid(register, reset_mail, confirm, db):
    await register()
    mail = await reset_mail()
    await db.execute("UPDATE one_time_tokens SET expires_at = now()")
    assert_invalid_token(await confirm(mail["token"]))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false",
        "UPDATE users SET email = 'eve@example.com'",
        "UPDATE users SET password_hash = password_hash || 'x'",
    ],
)
async def test_a_token_ends_with_its_account_address_or_password(
    register, reset_mail, confirm, db, change
):
    await register()
    mail = await reset_mail()
    await db.execute(change)
    before = await db.fetchval("SELECT password_hash FROM users")
    assert_invalid_token(await confirm(mail["token"]))
    assert await db.fetchval("SELECT password_hash FROM users") == before


@pytest.mark.parametrize("change", ["UPDATE users SET is_active = false", "DELETE FROM users"])
async def test_an_account_that_can_not_be_used_gets_no_mail(register, client, mailed, db, change):
    await register()
    await mailed()
    await db.execute("DELETE FROM outbox")
    await db.execute(change)
    assert (await client.post(RESET, json=ADA)).status_code == 202
    assert await mailed() == []


@pytest.mark.parametrize("password", ["Sh0rt!", "x" * 201, "\x00" * 12])
async def test_a_password_that_can_not_be_chosen_is_refused_and_the_token_stays(
    register, reset_mail, confirm, password
):
    await register()
    mail = await reset_mail()
    answer = await confirm(mail["token"], password)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/new_password"]
    assert password not in answer.text
    assert (await confirm(mail["token"])).status_code == 204


async def test_asking_and_resetting_are_on_record_without_secrets(
    register, reset_mail, confirm, db
):
    user = await register()
    mail = await reset_mail(**{"X-Real-IP": "203.0.113.9", "X-Request-ID": "asked"})
    await confirm(mail["token"], **{"X-Real-IP": "198.51.100.7", "X-Request-ID": "reset"})
    asked, reset = await db.fetch(
        "SELECT * FROM audit_log WHERE action LIKE 'user.password%' ORDER BY id"
    )
    assert (asked["action"], asked["actor_kind"]) == ("user.password_reset_requested", "system")
    assert (asked["address"], asked["request_id"]) == ("203.0.113.9", "asked")
    assert (reset["action"], reset["actor_kind"]) == ("user.password_reset", "user")
    assert (reset["address"], reset["request_id"]) == ("198.51.100.7", "reset")
    assert str(reset["actor_id"]) == user["id"]
    assert {asked["subject"], reset["subject"]} == {f"user:{user['id']}"}
    assert {json.dumps(json.loads(one["details"])) for one in (asked, reset)} == {"{}"}


class CountedPasswords(Passwords):
    """Real passwords that count hashes."""

    hashed = 0

    async def hash(self, password):
        self.hashed += 1
        return await super().hash(password)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE one_time_tokens SET expires_at = now()",
        "UPDATE users SET is_active = false",
        "UPDATE users SET password_hash = password_hash || 'x'",
    ],
)
async def test_a_token_that_is_not_valid_costs_no_hash(register, reset_mail, resources, db, change):
    await register()
    mail = await reset_mail()
    await db.execute(change)
    with CountedPasswords(threads=1) as passwords:
        transaction = partial(password_reset_transaction, resources)
        use_case = PasswordReset(transaction=transaction, passwords=passwords)
        for token in (mail["token"], "never-issued"):
            with pytest.raises(InvalidOneTimeToken):
                await use_case.run(token, new_password=NEW, **FROM)
    assert passwords.hashed == 0


async def test_a_token_stays_valid_if_no_turn_to_hash_comes(
    register, reset_mail, resources, confirm
):
    await register()
    mail = await reset_mail()
    for bounds in ({"waiting": 0}, {"seconds": 0.01}):
        with Passwords(threads=1, **bounds) as passwords:
            await passwords.queue.take_turn()
            transaction = partial(password_reset_transaction, resources)
            use_case = PasswordReset(transaction=transaction, passwords=passwords)
            with pytest.raises(PasswordsBusy):
                await use_case.run(mail["token"], new_password=NEW, **FROM)
    assert (await confirm(mail["token"])).status_code == 204
