"""There is always an administrator, even if several remove each other's role at once."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from .conftest import bearer_of

USERS = "/api/v1/users"


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["users:write"])


@pytest.fixture
def make_admins(register, db):
    """Register accounts with these roles; return their ids."""

    async def make(*names, active=True):
        ids = [(await register(f"{name}@example.com"))["id"] for name in names]
        await db.execute(
            "UPDATE users SET roles = ARRAY['admin'], is_active = $2 WHERE id = ANY($1)",
            [UUID(one) for one in ids],
            active,
        )
        return ids

    return make


@pytest.fixture
def give(client, writer):
    async def patch(user_id, *roles, headers=None):
        return await client.patch(
            f"{USERS}/{user_id}", json={"roles": list(roles)}, headers={**writer, **(headers or {})}
        )

    return patch


@pytest.fixture
def held(database, lock_waiters):
    """Lock rows, wait until the changes wait for the locks, and release all of them at once."""

    async def hold(ids, *changes):
        holder = await asyncpg.connect(database.runtime_url)
        transaction = holder.transaction()
        await transaction.start()
        ids = [UUID(one) for one in ids]
        await holder.execute("SELECT FROM users WHERE id = ANY($1) FOR UPDATE", ids)
        waiting = [asyncio.create_task(change) for change in changes]
        await lock_waiters(len(changes))
        await transaction.rollback()
        await holder.close()
        return await asyncio.gather(*waiting)

    return hold


@pytest.fixture
def held_row(database, lock_waiters):
    """Change a row, wait until the requests wait for it, and commit."""

    async def hold(user_id, change, *requests):
        holder = await asyncpg.connect(database.runtime_url)
        try:
            async with holder.transaction():
                await holder.execute(change, UUID(user_id))
                waiting = [asyncio.create_task(one) for one in requests]
                await lock_waiters(len(requests))
        finally:
            await holder.close()
        return await asyncio.gather(*waiting)

    return hold


async def admins(db):
    return await db.fetchval("SELECT count(*) FROM users WHERE 'admin' = ANY(roles)")


def assert_refused(answer):
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/last-admin")
    assert "Give another account that role first" in answer.json()["detail"]


async def test_the_last_admin_keeps_the_role(make_admins, give, db, events):
    (only,) = await make_admins("ada")
    before = await events()

    for roles in (["support"], ["customer", "support"]):
        assert_refused(await give(only, *roles))

    assert await admins(db) == 1
    assert await events() == before
    assert await db.fetchval("SELECT version FROM users") == 1


async def test_the_last_admin_may_get_further_roles(make_admins, give):
    (only,) = await make_admins("ada")
    answer = await give(only, "admin", "support")
    assert (answer.status_code, answer.json()["roles"]) == (200, ["admin", "support"])


async def test_an_old_version_is_refused_before_the_last_admin(make_admins, give):
    (only,) = await make_admins("ada")
    assert (await give(only, "support", headers={"If-Match": '"7"'})).status_code == 412


async def test_one_of_two_admins_may_lose_the_role_and_then_the_other_keeps_it(
    make_admins, give, db
):
    one, other = await make_admins("ada", "grace")
    assert (await give(one, "support")).status_code == 200
    assert_refused(await give(other, "support"))
    assert (await give(one, "admin")).status_code == 200
    assert (await give(other, "support")).status_code == 200
    assert await admins(db) == 1


async def test_an_admin_who_is_not_active_does_not_count(make_admins, give):
    (only,) = await make_admins("ada")
    (idle,) = await make_admins("grace", active=False)
    assert_refused(await give(only, "support"))
    assert (await give(idle, "support")).status_code == 200


async def test_a_user_who_was_not_an_admin_may_get_any_role(make_admins, register, give):
    await make_admins("ada")
    other = await register("grace@example.com")
    assert (await give(other["id"], "support")).status_code == 200


async def test_of_two_admins_who_demote_each_other_at_once_one_wins(make_admins, give, held, db):
    """Each of them still sees the other as administrator when it checks."""
    one, other = await make_admins("ada", "grace")

    answers = await held([one, other], give(one, "support"), give(other, "support"))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert_refused(max(answers, key=lambda answer: answer.status_code))
    assert await admins(db) == 1


@pytest.mark.parametrize("count", [3, 6])
async def test_of_many_admins_who_are_demoted_at_once_one_stays(make_admins, give, held, db, count):
    ids = await make_admins(*(f"admin{n}" for n in range(count)))

    answers = await held(ids[:1], *(give(one, "customer") for one in reversed(ids)))

    assert sorted(answer.status_code for answer in answers) == [200] * (count - 1) + [409]
    assert await admins(db) == 1


async def test_an_admin_who_is_made_while_the_other_leaves_is_enough_once_committed(
    make_admins, register, give, held, db
):
    (one,) = await make_admins("ada")
    other = (await register("grace@example.com"))["id"]

    promoted, demoted = await held([one, other], give(other, "admin"), give(one, "support"))

    assert promoted.status_code == 200
    assert demoted.status_code in {200, 409}  # it may have checked before the other committed
    assert await admins(db) >= 1
    assert (await give(one, "support")).status_code == 200
    assert await admins(db) == 1


async def test_between_the_locks_of_the_admins_a_customer_is_changed_and_deleted(
    make_admins, register, log_in, give, client, writer, database
):
    """They wait for no administrator: a customer can't be the last one."""
    admin_ids = [UUID(one) for one in await make_admins("ada", "grace")]
    customer = (await register("bob@example.com"))["id"]
    holder = await asyncpg.connect(database.runtime_url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM users WHERE id = ANY($1) FOR UPDATE", admin_ids)
            assert (await give(customer, "support")).status_code == 200
            for active in (False, True):
                answer = await client.patch(
                    f"{USERS}/{customer}", json={"is_active": active}, headers=writer
                )
                assert answer.status_code == 200
            tokens = await log_in("bob@example.com")
            own = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert (await client.delete(f"{USERS}/me", headers=own)).status_code == 204
    finally:
        await holder.close()


async def test_between_the_look_up_and_the_lock_an_account_becomes_an_admin_and_stays_one(
    make_admins, register, give, held_row, db
):
    await make_admins("ada")
    other = (await register("grace@example.com"))["id"]

    promotion = "UPDATE users SET roles = '{admin}', version = 2 WHERE id = $1"
    [answer] = await held_row(other, promotion, give(other, "support"))

    assert_refused(answer)
    assert await admins(db) == 2
    assert (await give(other, "support")).status_code == 200


async def test_an_admin_who_demotes_themselves_twice_at_once_leaves_the_other(
    make_admins, give, held, db
):
    one, _ = await make_admins("ada", "grace")

    answers = await held([one], give(one, "support"), give(one, "support"))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert await admins(db) == 1


async def test_between_a_demotion_and_its_broadcast_the_demoted_gives_and_takes_no_role(
    client, make_admins, register, log_in, give, events
):
    """This process has no Kafka, so it still accepts the access token."""
    _, demoted = await make_admins("ada", "grace")
    accomplice = (await register("eve@example.com"))["id"]
    token = bearer_of(await log_in("grace@example.com"))
    assert (await give(demoted, "customer")).status_code == 200
    before = await events()

    answers = [
        await give(demoted, "admin", headers=token),
        await give(accomplice, "admin", headers=token),
        await client.patch(f"{USERS}/{accomplice}", json={"is_active": False}, headers=token),
    ]

    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert await events() == before


async def test_between_a_demotion_and_its_commit_the_demoted_asks_for_the_role(
    make_admins, log_in, give, held_row, db
):
    _, demoted = await make_admins("ada", "grace")
    token = bearer_of(await log_in("grace@example.com"))
    demotion = (
        "WITH ended AS (UPDATE sessions SET revoked_at = now() WHERE user_id = $1)"
        " UPDATE users SET roles = '{customer}' WHERE id = $1"
    )
    [answer] = await held_row(demoted, demotion, give(demoted, "admin", headers=token))
    assert answer.status_code == 401
    assert await admins(db) == 1
