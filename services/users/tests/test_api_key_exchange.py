"""An API key is exchanged for a token that never outlives the key nor its owner's rights."""

import asyncio
import base64
import json
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from users.accounts.models import Occasion
from users.api_keys.models import MAX_KEYS
from users.api_keys.wiring import revoker
from users.credentials.wiring import credential_ender

from .conftest import PASSWORD
from .test_api_keys import BODY, KEYS, audited, fill

EXCHANGE = "/api-key-exchanges"
USERS = "/api/v1/users"
LOG_IN = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
async def owner(register, log_in, db):
    """Register an account with the role of support, and return its id and headers."""
    user_id = UUID((await register())["id"])
    await db.execute("UPDATE users SET roles = '{support}', email_verified = true")
    tokens = await log_in()
    return user_id, {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
def create(client, owner):
    """Create an API key of the owner; return its id and the key."""

    async def post(*scopes):
        body = BODY | {"scopes": list(scopes) or ["orders:read"]}
        answer = await client.post(KEYS, json=body, headers=owner[1])
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"]), answer.json()["api_key"]

    return post


@pytest.fixture
def exchange(client):
    async def post(key):
        return await client.post(EXCHANGE, json={"api_key": key})

    return post


@pytest.fixture
def revoke(client, owner):
    async def delete(key_id):
        return await client.delete(f"{KEYS}/{key_id}", headers=owner[1])

    return delete


@pytest.fixture
def give(client, tokens, owner):
    """Change the owner's roles, as an administrator."""

    async def patch(*roles):
        answer = await client.patch(
            f"{USERS}/{owner[0]}",
            json={"roles": list(roles)},
            headers=tokens.headers(scopes=["users:write"]),
        )
        assert answer.status_code == 200, answer.text

    return patch


@pytest.fixture
def announced(events):
    """Read the ids of all sessions and keys whose end was published."""

    async def read():
        ended = [data for kind, _, data in await events() if kind == "session.revoked.v1"]
        return {UUID(sid) for data in ended for sid in data["sids"]}

    return read


@pytest.fixture
def held(database, lock_waiters):
    """Hold the lock of a row until this many requests wait for it; return their responses."""

    async def hold(sql, *requests):
        holder = await asyncpg.connect(database.runtime_url)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(sql)
        waiting = []
        for number, request in enumerate(requests, start=1):
            waiting.append(asyncio.create_task(request))
            await lock_waiters(number)
        await transaction.rollback()
        await holder.close()
        return await asyncio.gather(*waiting)

    return hold


def claims(answer):
    assert answer.status_code == 200, answer.text
    payload = answer.json()["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


async def test_the_token_is_the_keys_own_and_has_its_scopes(owner, create, exchange, client, db):
    key_id, key = await create("profile", "orders:fulfil")
    answer = await exchange(key)
    assert answer.headers["cache-control"] == "no-store"
    found = claims(answer)
    assert (found["sub"], found["api_key"]) == (str(owner[0]), str(key_id))
    assert found["scope"] == "orders:fulfil profile"
    assert (found["roles"], found["amr"]) == (["support"], [])
    assert "sid" not in found
    assert await db.fetchval("SELECT last_used_at FROM api_keys") is not None
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get(f"{USERS}/me", headers=headers)).json()["id"] == str(owner[0])
    assert (await client.get(USERS, headers=headers)).status_code == 403


async def test_the_token_expires_no_later_than_its_key(create, exchange, db):
    _, key = await create()
    usual = claims(await exchange(key))
    assert usual["exp"] - usual["iat"] == 600
    expires = await db.fetchval(
        "UPDATE api_keys SET expires_at = now() + interval '90 s' RETURNING expires_at"
    )
    assert claims(await exchange(key))["exp"] == int(expires.timestamp())


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE api_keys SET revoked_at = now()",
        "UPDATE api_keys SET expires_at = now() - interval '1 ms'",
        "UPDATE users SET is_active = false",
        "UPDATE users SET roles = '{customer}'",
        "DELETE FROM users",
    ],
)
async def test_no_token_for_a_key_that_has_ended_or_whose_owner_has(create, exchange, db, end):
    _, key = await create("orders:fulfil")
    await db.execute(end)
    ended = await exchange(key)
    unknown = await exchange(key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert ended.status_code == unknown.status_code == 401
    assert ended.json()["detail"] == unknown.json()["detail"]
    assert await db.fetchval("SELECT max(last_used_at) FROM api_keys") is None


async def test_a_used_key_that_is_revoked_is_announced(create, exchange, revoke, announced):
    used, key = await create()
    unused, _ = await create()
    await exchange(key)
    for key_id in (used, unused):
        assert (await revoke(key_id)).status_code == 204
    assert await announced() == {used}
    assert (await exchange(key)).status_code == 401


async def test_a_key_whose_last_token_has_expired_is_not_announced(
    create, exchange, revoke, announced, settings, db
):
    key_id, key = await create()
    await exchange(key)
    long_ago = settings.access_lifetime + timedelta(minutes=2)
    await db.execute("UPDATE api_keys SET last_used_at = now() - $1::interval", long_ago)
    await revoke(key_id)
    assert await announced() == set()


async def test_a_narrower_role_revokes_the_keys_that_go_beyond_it(
    create, exchange, give, announced, db
):
    beyond, beyond_key = await create("orders:read", "orders:fulfil")
    within, within_key = await create("orders:read")
    await exchange(beyond_key)
    await exchange(within_key)
    await give("customer")
    assert (await exchange(beyond_key)).status_code == 401
    assert claims(await exchange(within_key))["roles"] == ["customer"]
    assert beyond in await announced()
    assert within not in await announced()
    (entry,) = await audited(db, "api_key.revoked")
    assert (entry["actor_kind"], entry["details"]) == ("system", {"api_key_id": str(beyond)})


async def test_a_wider_role_leaves_each_key_its_scopes(create, exchange, give, db):
    _, key = await create("orders:read")
    await give("admin")
    found = claims(await exchange(key))
    assert (found["scope"], found["roles"]) == ("orders:read", ["admin"])
    assert await audited(db, "api_key.revoked") == []


@pytest.mark.parametrize("ended_first", [True, False])
@pytest.mark.parametrize("change", ["is_active = false", "roles = '{customer}'"])
async def test_keys_follow_the_account_as_it_is_at_the_commit(
    owner, create, exchange, resources, announced, change, ended_first
):
    """A use case may end the sessions before or after it changes the account."""
    beyond, key = await create("orders:fulfil")
    await exchange(key)
    async with resources.database.transaction() as unit:
        lifetime = resources.signer.lifetime
        ender = credential_ender(resources, unit, token_lifetime=lifetime)
        if ended_first:
            await ender.end(owner[0], Occasion.RIGHTS_CHANGED)
        await unit.execute(f"UPDATE users SET {change}")
        if not ended_first:
            await ender.end(owner[0], Occasion.RIGHTS_CHANGED)
    assert beyond in await announced()
    assert (await exchange(key)).status_code == 401


async def test_all_keys_of_an_account_can_be_revoked(owner, create, exchange, resources, db):
    keys = [(await create())[1] for _ in range(2)]
    async with resources.database.transaction() as unit:
        revoking = revoker(resources, unit, token_lifetime=resources.signer.lifetime)
        await revoking.revoke_all(owner[0])
    assert [(await exchange(key)).status_code for key in keys] == [401, 401]
    assert len(await audited(db, "api_key.revoked")) == 2


async def test_a_key_that_is_revoked_while_it_is_exchanged_is_announced(
    create, exchange, revoke, held, announced
):
    """The revocation comes between the exchange's look at the key and its commit."""
    key_id, key = await create()
    exchanged, revoked = await held(
        "SELECT FROM api_keys FOR UPDATE", exchange(key), revoke(key_id)
    )
    assert (exchanged.status_code, revoked.status_code) == (200, 204)
    assert await announced() == {key_id}


async def test_a_key_that_was_just_revoked_is_not_exchanged(
    create, exchange, revoke, held, announced
):
    """The exchange comes between the revocation's look at the key and its commit."""
    key_id, key = await create()
    revoked, exchanged = await held(
        "SELECT FROM api_keys FOR UPDATE", revoke(key_id), exchange(key)
    )
    assert (revoked.status_code, exchanged.status_code) == (204, 401)
    assert await announced() == set()


async def test_a_role_that_narrows_while_a_key_is_created_leaves_no_key_beyond_it(
    client, owner, give, held, db
):
    """The role changes between the check of the key's scopes and its insertion, or before both."""
    body = BODY | {"scopes": ["orders:fulfil"]}
    lock = "SELECT FROM users FOR UPDATE"
    created, _ = await held(lock, client.post(KEYS, json=body, headers=owner[1]), give("customer"))
    assert created.status_code == 201
    assert await db.fetchval("SELECT revoked_at FROM api_keys") is not None
    await give("support")
    _, refused = await held(lock, give("customer"), client.post(KEYS, json=body, headers=owner[1]))
    assert refused.status_code == 401, "the change has ended the session"


async def test_two_creations_at_once_do_not_exceed_the_number_of_keys(client, owner, held, db):
    """Both count the keys before either has inserted one."""
    await fill(db, MAX_KEYS - 1)

    def create():
        return client.post(KEYS, json=BODY, headers=owner[1])

    answers = await held("SELECT FROM users FOR UPDATE", create(), create())
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_the_keys_of_a_deleted_account_are_announced_before_their_rows_go(
    client, owner, create, exchange, announced, db
):
    """The gateway may have cached a token for the key."""
    key_id, key = await create()
    assert (await exchange(key)).status_code == 200
    assert (await client.delete(f"{USERS}/me", headers=owner[1])).status_code == 204
    assert key_id in await announced()
    assert await db.fetchval("SELECT count(*) FROM api_keys") == 0
    assert (await exchange(key)).status_code == 401


async def test_an_api_key_changes_no_password_ends_no_session_and_sets_up_no_second_factor(
    client, create, exchange
):
    """A stolen key with the scope `profile` must not be enough to take its account over."""
    _, key = await create("profile")
    headers = {"Authorization": f"Bearer {(await exchange(key)).json()['access_token']}"}
    auth, me = "/api/v1/auth", f"{USERS}/me"
    passwords = {"current_password": BODY["name"], "new_password": "another long password"}
    answers = [
        await client.put(f"{me}/password", json=passwords, headers=headers),
        await client.delete(me, headers=headers),
        await client.patch(me, json={"email": "new@example.com"}, headers=headers),
        await client.get(f"{auth}/sessions", headers=headers),
        await client.delete(f"{auth}/sessions", headers=headers),
        await client.post(f"{auth}/totp", headers=headers),
        await client.delete(f"{auth}/totp", headers=headers),
        await client.post(f"{auth}/passkeys/registration-options", headers=headers),
    ]
    kinds = [(answer.status_code, answer.json()["type"].split("/")[-1]) for answer in answers]
    assert kinds == [(403, "log-in-required")] * len(answers)


async def test_an_api_key_of_an_administrator_changes_no_accounts(client, owner, exchange, db):
    """Otherwise its holder could make an account of their own an administrator."""
    await db.execute("UPDATE users SET roles = '{admin}'")
    token = (await client.post("/api/v1/auth/login", json=LOG_IN)).json()["access_token"]
    answer = await client.post(
        KEYS, json=BODY | {"scopes": ["users:write"]}, headers={"Authorization": f"Bearer {token}"}
    )
    key = answer.json()["api_key"]
    headers = {"Authorization": f"Bearer {(await exchange(key)).json()['access_token']}"}
    answer = await client.patch(
        f"{USERS}/{owner[0]}", json={"roles": ["admin", "support"]}, headers=headers
    )
    assert (answer.status_code, answer.json()["type"].split("/")[-1]) == (403, "log-in-required")


async def test_between_the_end_of_a_session_and_its_broadcast_its_token_makes_nothing_that_lasts(
    client, owner, db
):
    """This process has no Kafka, so it still accepts the access token."""
    await db.execute("UPDATE sessions SET revoked_at = now()")
    auth, me = "/api/v1/auth", f"{USERS}/me"
    answers = [
        await client.post(KEYS, json=BODY | {"scopes": ["orders:read"]}, headers=owner[1]),
        await client.post(f"{auth}/totp", headers=owner[1]),
        await client.delete(f"{auth}/totp", headers=owner[1]),
        await client.post(f"{auth}/passkeys/registration-options", headers=owner[1]),
        await client.patch(me, json={"email": "new@example.com"}, headers=owner[1]),
        await client.put(
            f"{me}/password",
            json={"current_password": PASSWORD, "new_password": "another horse battery"},
            headers=owner[1],
        ),
        await client.delete(me, headers=owner[1]),
    ]
    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert await db.fetchval("SELECT count(*) FROM users") == 1
    assert (await client.get(me, headers=owner[1])).status_code == 200


@pytest.mark.parametrize("verified", [False, True])
async def test_a_reset_ends_keys_and_of_an_unverified_account_also_second_factors(
    client, owner, create, exchange, mailed, announced, db, verified
):
    """A stranger may have registered the address, and set them up to keep the account."""
    key_id, key = await create()
    assert (await exchange(key)).status_code == 200
    assert (await client.post("/api/v1/auth/totp", headers=owner[1])).status_code == 201
    await db.execute("UPDATE users SET email_verified = $1", verified)
    await client.post("/api/v1/password-resets", json={"email": LOG_IN["email"]})
    mail = [one for one in await mailed() if one["type"].startswith("password_reset")][-1]
    body = {"token": mail["token"], "new_password": "another horse battery"}
    answer = await client.post("/api/v1/password-resets/confirm", json=body)
    assert answer.status_code == 204
    assert (await exchange(key)).status_code == 401
    assert key_id in await announced()
    assert await db.fetchval("SELECT count(*) FROM totp") == int(verified)
