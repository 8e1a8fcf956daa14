"""Log-in: who gets tokens, what the tokens contain, and what a refusal does not reveal."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from argon2 import PasswordHasher

from chassis.api import create_api
from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.auth.passwords import Passwords
from testkit.clients import client_of
from testkit.logs import own_logs
from testkit.tokens import AUDIENCE, ISSUER
from users.accounts.wiring import accounts as make_accounts
from users.declaration import SERVICE
from users.log_ins.errors import InvalidCredentials
from users.log_ins.service import LogIn
from users.log_ins.wiring import log_in_transaction
from users.sessions.models import scopes_of

LOGIN = "/api/v1/auth/login"
PASSWORD = "correct horse battery"
BODY = {"email": "ada@example.com", "password": PASSWORD}
ATTEMPT: dict[str, Any] = {**BODY, "address": "203.0.113.9"}
CUSTOMER = {"orders:read", "orders:write", "notifications:read", "profile"}
WEAK = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


class WatchedPasswords(Passwords):
    """Real passwords, with a step that runs elsewhere while one is verified."""

    def __init__(self, meanwhile):
        super().__init__()
        self._meanwhile = meanwhile
        self.verified = []

    async def verify(self, password, stored):
        self.verified.append(stored)
        good = await super().verify(password, stored)
        await self._meanwhile(len(self.verified))
        return good


async def nothing(_):
    """Do nothing while a password is verified."""


async def verified(token, tokens):
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    return TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE).verify(token)


async def test_a_log_in_gives_tokens(client, register, tokens):
    user = await register()

    answer = await client.post(LOGIN, json={**BODY, "email": "ADA@example.com"})

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert set(body["scope"].split()) == CUSTOMER
    assert len(body["refresh_token"]) == 43  # 256 bits in base64url
    principal = await verified(body["access_token"], tokens)
    assert str(principal.user_id) == user["id"]
    assert principal.roles == {"customer"}
    assert principal.scopes == CUSTOMER


async def test_each_log_in_is_a_session_of_its_own(register, log_in, db, tokens):
    await register()

    given = [await log_in(), await log_in()]

    named = {(await verified(one["access_token"], tokens)).session_id for one in given}
    assert named == {row["id"] for row in await db.fetch("SELECT id FROM sessions")}
    assert len(named) == 2


def test_each_role_has_its_scopes():
    support = CUSTOMER | {"orders:fulfil", "users:read", "orders:read-all"}
    operations = {"audit:read", "ops:audit", "ops:dead-letters", "ops:jobs", "ops:replay"}
    admin = support | operations | {"catalog:write", "users:write", "announcements:write"}

    assert scopes_of(["customer"]) == CUSTOMER
    assert scopes_of(["support"]) == support
    assert scopes_of(["admin"]) == admin
    assert scopes_of(["customer", "support"]) == support


async def test_a_refused_log_in_does_not_reveal_its_reason(client, register, db):
    await register()
    await register("idle@example.com")
    await db.execute("UPDATE users SET is_active = false WHERE email = 'idle@example.com'")

    answers = [
        await client.post(LOGIN, json={**BODY, "password": "wrong horse battery"}),
        await client.post(LOGIN, json={**BODY, "password": "x"}),
        await client.post(LOGIN, json={**BODY, "email": "nobody@example.com"}),
        await client.post(LOGIN, json={**BODY, "email": "idle@example.com"}),
    ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert answers[0].json()["type"].endswith("/invalid-credentials")
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1
    same = [{**answer.json(), "request_id": ""} for answer in answers]
    assert all(problem == same[0] for problem in same)
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_refused_log_in_is_an_event_without_who_or_what(client, register):
    await register()
    with own_logs() as entries:
        await client.post(LOGIN, json={**BODY, "password": "wrong horse battery"})
        await client.post(LOGIN, json=BODY)
    refused = [line for line in entries if line["event"] == "log-in refused"]
    assert [line["reason"] for line in refused] == ["invalid-credentials"]
    assert set(refused[0]) == {"event", "reason", "log_level"}


async def test_the_spaces_of_a_password_count(client, register):
    await register(password=f"  {PASSWORD}")

    assert (await client.post(LOGIN, json=BODY)).status_code == 401
    spaced = {**BODY, "password": f"  {PASSWORD}"}
    assert (await client.post(LOGIN, json=spaced)).status_code == 200


async def test_an_unknown_account_costs_a_verification_too(resources):
    with WatchedPasswords(nothing) as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(InvalidCredentials):
            await use_case.run(**{**ATTEMPT, "email": "nobody@example.com"})

        assert passwords.verified == [None]


async def test_no_transaction_is_open_while_a_password_is_verified(register, resources):
    await register()
    opened = 0

    @asynccontextmanager
    async def counted():
        nonlocal opened
        async with log_in_transaction(resources) as sessions:
            opened += 1
            yield sessions
        opened -= 1

    seen = []

    async def look(_):
        seen.append(opened)

    with WatchedPasswords(look) as passwords:
        await LogIn(transaction=counted, passwords=passwords).run(**ATTEMPT)

    assert seen == [0]


async def test_no_connection_is_held_while_a_new_password_is_hashed(resources):
    seen = []

    class Watched(Passwords):
        async def hash(self, password):
            seen.append(unit._held)
            return await super().hash(password)

    async with resources.database.transaction() as unit:
        accounts = make_accounts(resources, unit)
        with Watched() as accounts._passwords:
            await accounts.register(
                email=BODY["email"],
                password=BODY["password"],
                full_name="Ada",
                address="203.0.113.9",
            )

    assert seen == [None]


async def test_an_account_that_is_deactivated_in_between_is_refused(register, resources, db):
    await register()

    async def deactivate(_):
        await db.execute("UPDATE users SET is_active = false")

    with WatchedPasswords(deactivate) as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(InvalidCredentials):
            await use_case.run(**ATTEMPT)

    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


@pytest.mark.parametrize(("new_password", "sessions"), [(PASSWORD, 1), ("another one", 0)])
async def test_a_hash_that_was_replaced_in_between_is_verified_again(
    register, resources, db, new_password, sessions
):
    await register()

    async def replace(times):
        if times == 1:
            new = await resources.passwords.hash(new_password)
            await db.execute("UPDATE users SET password_hash = $1", new)

    with WatchedPasswords(replace) as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        outcome = await asyncio.gather(use_case.run(**ATTEMPT), return_exceptions=True)

        assert len(passwords.verified) == 2
    assert isinstance(outcome[0], InvalidCredentials) == (sessions == 0)
    assert await db.fetchval("SELECT count(*) FROM sessions") == sessions


async def test_outdated_parameters_are_renewed_at_log_in(client, register, db, events):
    await register()
    await db.execute("UPDATE users SET password_hash = $1", WEAK.hash(PASSWORD))

    wrong = await client.post(LOGIN, json={**BODY, "password": "wrong horse battery"})
    assert wrong.status_code == 401
    assert "m=1024" in await db.fetchval("SELECT password_hash FROM users")

    # Concurrent log-ins that renew the hash must all succeed, even if one finds another's hash.
    answers = await asyncio.gather(*(client.post(LOGIN, json=BODY) for _ in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4
    assert "m=19456,t=2,p=1" in await db.fetchval("SELECT password_hash FROM users")
    assert (await client.post(LOGIN, json=BODY)).status_code == 200
    assert len(await events()) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"password": ""}, "#/password"),
        ({"password": "x" * 201}, "#/password"),
        ({"totp": "12345"}, "#/totp"),
    ],
)
async def test_a_wrong_field_is_pointed_to(client, change, pointer):
    answer = await client.post(LOGIN, json={**BODY, **change})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_hash_has_the_parameters_of_the_settings_and_is_renewed_after_a_change(
    settings, client, register, db
):
    await register()
    stronger = settings.model_copy(update={"password_memory": 20_000, "password_passes": 3})
    before = await db.fetchval("SELECT password_hash FROM users")
    assert before.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    async with client_of(create_api(SERVICE, stronger)) as other:
        assert (await other.post(LOGIN, json=BODY)).status_code == 200
    renewed = await db.fetchval("SELECT password_hash FROM users")
    assert renewed.startswith("$argon2id$v=19$m=20000,t=3,p=1$")
    assert (await client.post(LOGIN, json=BODY)).status_code == 200
