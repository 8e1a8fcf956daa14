"""Changes that the owner of an account must be told of are published, in the same transaction."""

import pytest

from testkit.authenticator import code_of
from testkit.problems import problem_kind
from users.security_events.service import SecurityEvents
from users.totp.models import recovery_hash

from .conftest import PASSKEYS, PASSWORD, logged_in, status_and_kind

ME = "/api/v1/users/me"
TOTP = "/api/v1/auth/totp"
KEYS = "/api/v1/api-keys"
RESET = "/api/v1/password-resets"
NEW = "a quite different phrase"
EVENTS = ("user.password_changed.v1", "user.second_factor_changed.v1", "user.api_key_created.v1")


@pytest.fixture
def published(events, db):
    """Read the security events: type and data, without ids and times.

    The versions of all events of the account follow each other.
    """

    async def read():
        versioned = [(kind, data) for kind, sequence, data in await events() if sequence]
        versions = [data["version"] for _, data in versioned]
        assert versions == list(range(1, len(versions) + 1))
        assert await db.fetchval("SELECT version FROM users") == len(versions)
        user_id = str(await db.fetchval("SELECT id FROM users"))
        assert {data["user_id"] for _, data in versioned} == {user_id}
        shown = ("method", "factor", "change")
        return [
            (kind, *(data[name] for name in shown if name in data))
            for kind, data in versioned
            if kind in EVENTS
        ]

    return read


@pytest.fixture
def change_password(client, bearer):
    async def put():
        body = {"current_password": PASSWORD, "new_password": NEW}
        return await client.put(f"{ME}/password", json=body, headers=bearer)

    return put


@pytest.fixture
def reset_password(client, mailed):
    async def post():
        await client.post(RESET, json={"email": "ada@example.com"})
        token = (await mailed())[-1]["token"]
        body = {"token": token, "new_password": NEW}
        assert (await client.post(f"{RESET}/confirm", json=body)).status_code == 204

    return post


@pytest.fixture
def turn_totp_on(client, bearer):
    async def post():
        secret = (await client.post(TOTP, headers=bearer)).json()["secret"]
        body = {"code": code_of(secret)}
        assert (await client.post(f"{TOTP}/confirm", json=body, headers=bearer)).status_code == 200

    return post


@pytest.fixture
def create_key(client, bearer):
    async def post():
        body = {"name": "Warehouse", "scopes": ["orders:read"]}
        return await client.post(KEYS, json=body, headers=bearer)

    return post


async def test_a_changed_password_is_published(change_password, published):
    assert (await change_password()).status_code == 204
    assert await published() == [("user.password_changed.v1", "change")]


@pytest.mark.usefixtures("bearer")
async def test_a_reset_of_the_password_is_published(reset_password, published, db):
    await db.execute("UPDATE users SET email_verified = true")
    await reset_password()
    assert await published() == [("user.password_changed.v1", "reset")]


async def test_factors_that_a_reset_removes_are_published(
    turn_totp_on, enrolled, reset_password, published, db
):
    """A stranger may have added them before the address was verified, in an earlier release."""
    await turn_totp_on()
    await enrolled()
    await db.execute("UPDATE users SET email_verified = false")
    await reset_password()
    assert (await published())[2:] == [
        ("user.password_changed.v1", "reset"),
        ("user.second_factor_changed.v1", "passkey", "removed"),
        ("user.second_factor_changed.v1", "totp", "removed"),
    ]


async def test_totp_is_published_once_it_is_on_and_when_it_is_removed(
    client, bearer, turn_totp_on, published
):
    await client.post(TOTP, headers=bearer)
    assert (await client.delete(TOTP, headers=bearer)).status_code == 204
    assert await published() == [], "a setup that was not confirmed is no factor"
    await turn_totp_on()
    assert (await client.delete(TOTP, headers=bearer)).status_code == 204
    assert await published() == [
        ("user.second_factor_changed.v1", "totp", "added"),
        ("user.second_factor_changed.v1", "totp", "removed"),
    ]


async def test_new_recovery_codes_are_published_and_end_the_earlier_ones(
    client, bearer, turn_totp_on, published, db
):
    path = f"{TOTP}/recovery-codes"
    none = await client.post(path, headers=bearer)
    assert status_and_kind(none) == (404, "totp-not-set-up")
    await turn_totp_on()
    before = await db.fetchval("SELECT recovery_codes FROM totp")

    answer = await client.post(path, headers=bearer)

    assert answer.headers["cache-control"] == "no-store"
    codes = answer.json()["recovery_codes"]
    after = await db.fetchval("SELECT recovery_codes FROM totp")
    assert after == [recovery_hash(code) for code in codes]
    assert not set(before) & set(after)
    assert (await published())[1:] == [
        ("user.second_factor_changed.v1", "recovery_codes", "replaced")
    ]
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE action ~ 'replaced'") == 1


async def test_new_recovery_codes_need_a_recent_log_in(client, turn_totp_on, signed):
    await turn_totp_on()
    answer = await client.post(f"{TOTP}/recovery-codes", headers=await signed(logged_in(6)))
    assert status_and_kind(answer) == (401, "reauthentication-needed")


async def test_an_added_and_a_removed_passkey_are_published(client, bearer, enrolled, published):
    _, shown = await enrolled()
    assert (await client.delete(f"{PASSKEYS}/{shown['id']}", headers=bearer)).status_code == 204
    again = await client.delete(f"{PASSKEYS}/{shown['id']}", headers=bearer)
    assert problem_kind(again) == "passkey-not-found"
    assert await published() == [
        ("user.second_factor_changed.v1", "passkey", "added"),
        ("user.second_factor_changed.v1", "passkey", "removed"),
    ]


async def test_a_new_api_key_is_published_without_the_key_and_its_name(
    create_key, published, events
):
    created = (await create_key()).json()
    assert await published() == [("user.api_key_created.v1",)]
    data = (await events())[-1][2]
    assert data["api_key_id"] == created["id"]
    for secret in (created["api_key"], created["prefix"], "Warehouse"):
        assert secret not in str(await events())


async def test_what_is_refused_is_not_published(client, bearer, published):
    body = {"current_password": "wrong horse battery", "new_password": NEW}
    wrong = await client.put(f"{ME}/password", json=body, headers=bearer)
    assert problem_kind(wrong) == "wrong-password"
    beyond = {"name": "x", "scopes": ["users:write"]}
    assert (await client.post(KEYS, json=beyond, headers=bearer)).status_code == 422
    assert await published() == []


async def test_nothing_is_changed_if_it_can_not_be_published(
    create_key, published, db, monkeypatch
):
    """Between the change and its event: both are in one transaction."""

    async def fail(*_, **__):
        message = "broken"
        raise RuntimeError(message)

    monkeypatch.setattr(SecurityEvents, "api_key_created", fail)
    assert (await create_key()).status_code == 500
    assert await db.fetchval("SELECT count(*) FROM api_keys") == 0
    assert await published() == []


async def test_the_previous_address_is_in_the_private_topic_alone(client, bearer, mailed, events):
    await mailed()  # that of the registration
    headers = {**bearer, "Content-Type": "application/merge-patch+json"}
    await client.patch(ME, json={"email": "lovelace@example.org"}, headers=headers)
    token = (await mailed())[-1]["token"]
    await client.post("/api/v1/email-verifications/confirm", json={"token": token})
    notice = (await mailed())[-1]
    assert (notice["type"], notice["email"], notice["locale"]) == (
        "email_change_notice.requested.v1",
        "ada@example.com",
        "en",
    )
    [changed] = [data for kind, _, data in await events() if kind == "user.email_changed.v1"]
    assert "ada@example.com" not in str(changed)
