"""TOTP: who can turn it on and off, and what a log-in needs from then on."""

import asyncio
import base64
import json
from datetime import timedelta
from functools import partial

import pytest
from pydantic import SecretStr

from chassis.api import create_api
from chassis.auth import ApiKeyGrant
from chassis.auth.passwords import Passwords
from chassis.database import new_id
from testkit.authenticator import code_of
from testkit.clients import client_of
from users.declaration import SERVICE
from users.log_ins.errors import TotpRequired
from users.log_ins.service import LogIn
from users.log_ins.wiring import log_in_transaction
from users.totp.jobs import prune_pending_totp
from users.totp.models import SecretKeys

from .conftest import logged_in, status_and_kind

TOTP = "/api/v1/auth/totp"
CONFIRM = f"{TOTP}/confirm"
LOGIN = "/api/v1/auth/login"
RIGHT = {"email": "ada@example.com", "password": "correct horse battery"}
NEW = "n" * 32


def other_than(code):
    return f"{(int(code) + 1) % 1_000_000:06}"


@pytest.fixture
async def secret(client, bearer):
    """The secret of a setup that is not confirmed."""
    answer = await client.post(TOTP, headers=bearer)
    assert answer.status_code == 201, answer.text
    return answer.json()["secret"]


@pytest.fixture
async def recovery_codes(client, bearer, secret, db):
    """The recovery codes of an account whose TOTP is on."""
    answer = await client.post(CONFIRM, json={"code": code_of(secret)}, headers=bearer)
    assert answer.status_code == 200, answer.text
    await forget_step(db)
    return answer.json()["recovery_codes"]


async def forget_step(db):
    """Let the present code be accepted once more, as if the next period had begun."""
    await db.execute("UPDATE totp SET last_step = NULL")


@pytest.fixture
def try_(client):
    async def post(totp=None, *, address="203.0.113.9", **change):
        body = {**RIGHT, **change} if totp is None else {**RIGHT, "totp": totp, **change}
        return await client.post(LOGIN, json=body, headers={"X-Real-IP": address})

    return post


@pytest.fixture
def audited(db):
    async def read():
        rows = await db.fetch(
            "SELECT * FROM audit_log WHERE action <> 'session.opened' ORDER BY id"
        )
        return [(row["action"], row["address"]) for row in rows]

    return read


async def test_a_setup_takes_effect_when_a_code_confirms_it(client, bearer, try_):
    begun = await client.post(TOTP, headers=bearer)
    assert begun.headers["cache-control"] == "no-store"
    secret = begun.json()["secret"]
    assert secret in begun.json()["uri"]
    assert (await try_()).status_code == 200
    assert (await client.get(TOTP, headers=bearer)).json()["enabled"] is False

    confirmed = await client.post(CONFIRM, json={"code": code_of(secret)}, headers=bearer)

    assert confirmed.status_code == 200
    assert confirmed.headers["cache-control"] == "no-store"
    codes = confirmed.json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert {len(code) for code in codes} == {29}
    state = (await client.get(TOTP, headers=bearer)).json()
    assert state == {"enabled": True, "recovery_codes_left": 10}
    assert status_and_kind(await try_()) == (401, "totp-required")


@pytest.mark.usefixtures("recovery_codes")
async def test_a_log_in_with_a_code_says_so_in_its_token(try_, secret, api_resources):
    answer = await try_(code_of(secret))
    assert answer.status_code == 200
    principal = api_resources.verifier.verify(answer.json()["access_token"])
    assert principal.methods == {"pwd", "otp", "mfa"}  # RFC 8176


@pytest.mark.usefixtures("recovery_codes")
async def test_a_code_may_be_typed_with_a_space(try_, secret):
    code = code_of(secret)
    assert (await try_(f" {code[:3]} {code[3:]}")).status_code == 200


@pytest.mark.usefixtures("recovery_codes")
async def test_a_code_is_not_looked_at_if_the_password_is_wrong(try_, secret):
    code = code_of(secret)
    wrong = await try_(code, password="wrong horse battery")
    assert status_and_kind(wrong) == (401, "invalid-credentials")
    assert (await try_(code)).status_code == 200


async def test_an_account_without_totp_needs_no_code(register, try_):
    await register()
    assert (await try_("123456")).status_code == 200


@pytest.mark.usefixtures("recovery_codes")
async def test_a_wrong_code_is_refused_and_recorded(try_, secret, audited, db):
    sessions = await db.fetchval("SELECT count(*) FROM sessions")
    answer = await try_(other_than(code_of(secret)), address="192.0.2.7")
    assert status_and_kind(answer) == (401, "invalid-totp")
    assert await db.fetchval("SELECT count(*) FROM sessions") == sessions
    assert (await audited())[-1] == ("totp.code_refused", "192.0.2.7")


@pytest.mark.usefixtures("recovery_codes")
async def test_of_parallel_log_ins_with_one_code_one_succeeds(try_, secret):
    code = code_of(secret)
    answers = await asyncio.gather(*(try_(code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    assert (await try_(code)).status_code == 401


async def test_the_code_that_confirmed_the_setup_is_not_accepted_again(
    client, bearer, secret, try_
):
    code = code_of(secret)
    await client.post(CONFIRM, json={"code": code}, headers=bearer)
    assert status_and_kind(await try_(code)) == (401, "invalid-totp")


async def test_a_recovery_code_is_accepted_once(client, bearer, try_, recovery_codes, audited):
    typed = f" {recovery_codes[3].upper().replace('-', ' ')}"
    answers = await asyncio.gather(*(try_(typed) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    assert (await try_(recovery_codes[4])).status_code == 200
    state = (await client.get(TOTP, headers=bearer)).json()
    assert state == {"enabled": True, "recovery_codes_left": 8}
    actions = [action for action, _ in await audited()]
    assert actions.count("totp.recovery_code_used") == 2


async def test_wrong_codes_are_limited_for_the_account_from_all_addresses(
    try_, secret, recovery_codes, db
):
    wrong = other_than(code_of(secret))
    for number in range(10):
        assert (await try_(wrong, address=f"192.0.2.{number}")).status_code == 401

    answer = await try_(code_of(secret), address="198.51.100.7")
    assert status_and_kind(answer) == (429, "too-many-wrong-codes")
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= 24 * 360  # seconds: ten a day
    assert (await try_(recovery_codes[0], address="198.51.100.7")).status_code == 200

    await db.execute(
        "UPDATE log_in_buckets SET empty_at = empty_at - $1::interval", timedelta(seconds=wait)
    )
    assert (await try_(code_of(secret), address="198.51.100.7")).status_code == 200


@pytest.mark.usefixtures("recovery_codes")
async def test_accepted_codes_do_not_count_as_wrong(try_, secret, db):
    for _ in range(12):
        assert (await try_(code_of(secret))).status_code == 200
        await forget_step(db)


async def test_a_code_counts_once_though_the_hash_is_renewed_while_it_is_verified(
    secret, recovery_codes, resources, db
):
    """As by a parallel log-in. What is accepted leaves nothing counted, and takes nothing back."""

    class Watched(Passwords):
        renewed = False

        async def verify(self, password, stored):
            good = await super().verify(password, stored)
            if not self.renewed:
                self.renewed = True
                new = await resources.passwords.hash(password)
                await db.execute("UPDATE users SET password_hash = $1", new)
            return good

    counted = """
        SELECT coalesce(sum(extract(epoch FROM greatest(empty_at, now()) - now())), 0)
        FROM log_in_buckets
    """
    with Watched() as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        for totp in (code_of(secret), recovery_codes[0]):
            passwords.renewed = False
            before = await db.fetchval(counted)
            await use_case.run(
                email=RIGHT["email"],
                password=RIGHT["password"],
                address="203.0.113.9",
                totp=totp,
            )
            assert abs(await db.fetchval(counted) - before) < 60
            await forget_step(db)


@pytest.mark.usefixtures("recovery_codes")
async def test_wrong_and_missing_codes_count_as_failed_log_ins(try_, secret):
    wrong = other_than(code_of(secret))
    for number in range(5):
        assert (await try_(wrong if number else None)).status_code == 401
        assert (await try_()).status_code == 401
    assert status_and_kind(await try_(code_of(secret))) == (429, "too-many-failed-log-ins")


async def test_totp_that_is_turned_on_while_the_password_is_verified_is_asked_for(
    client, bearer, secret, resources
):
    class Watched(Passwords):
        renewed = False

        async def verify(self, password, stored):
            good = await super().verify(password, stored)
            body = {"code": code_of(secret)}
            assert (await client.post(CONFIRM, json=body, headers=bearer)).status_code == 200
            return good

    with Watched() as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(TotpRequired):
            await use_case.run(
                email=RIGHT["email"], password=RIGHT["password"], address="203.0.113.9"
            )


@pytest.mark.usefixtures("recovery_codes")
async def test_removal_ends_the_need_for_a_code(client, bearer, try_, audited):
    assert (await client.delete(TOTP, headers=bearer)).status_code == 204
    assert (await try_()).status_code == 200
    assert status_and_kind(await client.delete(TOTP, headers=bearer)) == (404, "totp-not-set-up")
    assert [action for action, _ in await audited()] == ["totp.enabled", "totp.removed"]


@pytest.mark.parametrize(
    ("method", "path", "minutes", "max_age"),
    [("POST", TOTP, 6, 300), ("DELETE", TOTP, 6, 300), ("POST", CONFIRM, 21, 1200)],
)
async def test_a_token_of_an_old_log_in_cannot_change_it(
    client, secret, signed, method, path, minutes, max_age
):
    body = {"json": {"code": code_of(secret)}} if path == CONFIRM else {}

    old = await signed(logged_in(minutes))
    answer = await client.request(method, path, headers=old, **body)
    assert status_and_kind(answer) == (401, "reauthentication-needed")
    assert answer.json()["max_age"] == max_age
    challenge = f'Bearer error="insufficient_user_authentication", max_age="{max_age}"'
    assert answer.headers["www-authenticate"] == challenge

    recent = await signed(logged_in(minutes - 2))
    assert (await client.request(method, path, headers=recent, **body)).is_success


@pytest.mark.parametrize(("method", "path"), [("POST", TOTP), ("DELETE", TOTP), ("POST", CONFIRM)])
async def test_an_api_key_cannot_change_it(client, secret, signed, method, path):
    key = await signed(ApiKeyGrant(api_key_id=new_id()))
    body = {"json": {"code": code_of(secret)}} if path == CONFIRM else {}
    answer = await client.request(method, path, headers=key, **body)
    assert status_and_kind(answer) == (403, "log-in-required")


@pytest.mark.usefixtures("recovery_codes")
async def test_while_it_is_on_no_other_secret_replaces_it(client, bearer, try_, secret):
    assert status_and_kind(await client.post(TOTP, headers=bearer)) == (409, "totp-already-on")
    assert (await try_(code_of(secret))).status_code == 200


async def test_a_new_setup_replaces_one_that_was_not_confirmed(client, bearer, secret):
    other = (await client.post(TOTP, headers=bearer)).json()["secret"]
    assert other != secret
    answer = await client.post(CONFIRM, json={"code": code_of(secret)}, headers=bearer)
    assert status_and_kind(answer) == (422, "wrong-totp-code")
    assert answer.json()["errors"][0]["pointer"] == "#/code"
    answer = await client.post(CONFIRM, json={"code": code_of(other)}, headers=bearer)
    assert answer.status_code == 200


async def test_of_parallel_confirmations_one_succeeds(client, bearer, secret):
    body = {"code": code_of(secret)}
    answers = await asyncio.gather(
        *(client.post(CONFIRM, json=body, headers=bearer) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]


async def test_a_setup_expires(client, bearer, secret, db, resources):
    await db.execute("UPDATE totp SET pending_until = now() - interval '1 second'")
    answer = await client.post(CONFIRM, json={"code": code_of(secret)}, headers=bearer)
    assert status_and_kind(answer) == (409, "totp-not-pending")
    async with resources.database.transaction() as unit:
        assert await prune_pending_totp(unit, 10) == 1
    assert await db.fetchval("SELECT count(*) FROM totp") == 0


@pytest.mark.usefixtures("recovery_codes")
async def test_what_is_on_does_not_expire(resources):
    async with resources.database.transaction() as unit:
        assert await prune_pending_totp(unit, 10) == 0


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "१२३४५६"])
async def test_a_malformed_code_is_pointed_to(client, bearer, code):
    answer = await client.post(CONFIRM, json={"code": code}, headers=bearer)
    assert status_and_kind(answer) == (422, "validation-failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/code"]


async def test_the_database_holds_neither_secret_nor_codes(secret, recovery_codes, db):
    row = json.dumps([str(value) for value in await db.fetchrow("SELECT * FROM totp")])
    stored = await db.fetchval("SELECT secret FROM totp")
    assert base64.b32decode(secret) not in stored
    assert not any(code in row for code in recovery_codes)


@pytest.mark.usefixtures("recovery_codes")
async def test_a_log_in_encrypts_the_secret_with_the_newest_key(settings, secret, db):
    old = settings.totp_keys.get_secret_value()
    rotated = settings.model_copy(update={"totp_keys": SecretStr(f"{NEW} {old}")})
    async with client_of(create_api(SERVICE, rotated)) as client:
        answer = await client.post(LOGIN, json={**RIGHT, "totp": code_of(secret)})
        assert answer.status_code == 200
    row = await db.fetchrow("SELECT user_id, secret FROM totp")
    assert SecretKeys([NEW]).unseal(row["secret"], owner=row["user_id"])


async def test_without_its_key_a_secret_opens_nothing_and_recovery_codes_still_do(
    settings, secret, recovery_codes, bearer
):
    keyless = settings.model_copy(update={"totp_keys": None})
    async with client_of(create_api(SERVICE, keyless)) as client:
        answer = await client.post(LOGIN, json={**RIGHT, "totp": code_of(secret)})
        assert status_and_kind(answer) == (503, "totp-unavailable")
        assert status_and_kind(await client.post(TOTP, headers=bearer)) == (503, "totp-unavailable")
        answer = await client.post(LOGIN, json={**RIGHT, "totp": recovery_codes[0]})
        assert answer.status_code == 200


async def test_codes_that_can_not_be_verified_do_not_count_as_guesses(
    settings, secret, recovery_codes, db
):
    """Neither as wrong codes nor as failed log-ins: the owner still logs in with either kind."""
    keyless = settings.model_copy(update={"totp_keys": None, "login_failures_per_address": 3})
    async with client_of(create_api(SERVICE, keyless)) as client:
        for _ in range(12):
            answer = await client.post(LOGIN, json={**RIGHT, "totp": code_of(secret)})
            assert status_and_kind(answer) == (503, "totp-unavailable")
        answer = await client.post(LOGIN, json={**RIGHT, "totp": recovery_codes[0]})
        assert answer.status_code == 200
    await forget_step(db)
    async with client_of(create_api(SERVICE, settings)) as client:
        answer = await client.post(LOGIN, json={**RIGHT, "totp": code_of(secret)})
        assert answer.status_code == 200, answer.text


async def test_a_code_says_when_its_secret_was_encrypted_and_a_recovery_code_does_not(
    try_, secret, recovery_codes, db
):
    """The runbook of the keys counts the accounts that still need a former key."""
    await db.execute("UPDATE totp SET sealed_at = NULL")
    assert (await try_(recovery_codes[0])).status_code == 200
    assert await db.fetchval("SELECT sealed_at FROM totp") is None
    assert (await try_(code_of(secret))).status_code == 200
    assert await db.fetchval("SELECT sealed_at IS NOT NULL FROM totp")
