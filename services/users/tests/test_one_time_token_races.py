"""One-time tokens under concurrency: a test's name says what may happen between two steps."""

import asyncio

import pytest

RESET = "/api/v1/password-resets"
USERS = "/api/v1/users"
ME = "/api/v1/users/me"
LOGIN = "/api/v1/auth/login"
MERGE = {"Content-Type": "application/merge-patch+json"}
OLD, NEW, OTHER = "correct horse battery", "another horse battery", "yet another horse"


@pytest.fixture
def while_locked(database, lock_waiters):
    """Begin requests one after the other while another transaction holds all accounts.

    The other transaction runs `change` before it commits.
    """

    async def run(change, *requests):
        async with database.connected() as connection, asyncio.TaskGroup() as group:
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetch("SELECT id FROM users FOR NO KEY UPDATE")
            sent = []
            for number, request in enumerate(requests, start=1):
                sent.append(group.create_task(request))
                await lock_waiters(number)
            if change:
                await connection.execute(change)
            await transaction.commit()
        return [one.result().status_code for one in sent]

    return run


@pytest.fixture
def reset(client):
    async def post(token, password):
        body = {"token": token, "new_password": password}
        return await client.post(f"{RESET}/confirm", json=body)

    return post


@pytest.fixture
async def reset_tokens(register, client, mailed):
    """Two reset tokens of one account."""
    await register()
    for _ in range(2):
        await client.post(RESET, json={"email": "ada@example.com"})
    return [one["token"] for one in await mailed() if one["type"].startswith("password_reset")]


async def test_between_look_up_and_lock_another_confirms_the_same_token(
    register, mailed, confirm_email, while_locked, events
):
    await register()
    [mail] = await mailed()
    token = mail["token"]
    assert await while_locked(None, confirm_email(token), confirm_email(token)) == [204, 422]
    assert [event for event, _, _ in await events()].count("user.email_verified.v1") == 1


async def test_between_look_up_and_lock_another_resets_with_the_same_token(
    reset_tokens, reset, while_locked, log_in_status
):
    token, _ = reset_tokens
    assert await while_locked(None, reset(token, NEW), reset(token, OTHER)) == [204, 422]
    assert [await log_in_status(one) for one in (OLD, NEW, OTHER)] == [401, 200, 401]


async def test_between_look_up_and_lock_another_resets_with_another_token(
    reset_tokens, reset, while_locked, log_in_status
):
    """Neither waits for the other's token, so they can't deadlock."""
    first, second = reset_tokens
    assert await while_locked(None, reset(first, NEW), reset(second, OTHER)) == [204, 422]
    assert [await log_in_status(one) for one in (OLD, NEW, OTHER)] == [401, 200, 401]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false",
        "UPDATE users SET password_hash = password_hash || 'x'",
        "DELETE FROM users",
    ],
)
async def test_between_look_up_and_lock_the_account_changes(
    reset_tokens, reset, while_locked, db, change
):
    assert await while_locked(change, reset(reset_tokens[0], NEW)) == [422]
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type LIKE 'session%'") == 0


async def test_between_its_hash_and_its_session_a_log_in_is_overtaken_by_a_reset(
    reset_tokens, reset, client, while_locked, db
):
    body = {"email": "ada@example.com", "password": OLD}
    statuses = await while_locked(None, reset(reset_tokens[0], NEW), client.post(LOGIN, json=body))
    assert statuses == [204, 401]
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


async def test_between_a_log_in_and_its_answer_a_reset_ends_the_session(
    reset_tokens, reset, client, while_locked, db
):
    body = {"email": "ada@example.com", "password": OLD}
    statuses = await while_locked(None, client.post(LOGIN, json=body), reset(reset_tokens[0], NEW))
    assert statuses == [200, 204]
    assert await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


@pytest.fixture
def changing(register, log_in, client, mailed):
    """Register, and ask for another address; return the token of its mail."""

    async def ask(email, new):
        await register(email)
        headers = {"Authorization": f"Bearer {(await log_in(email))['access_token']}"}
        body = {"email": new}
        answer = await client.patch(ME, json=body, headers={**headers, **MERGE})
        assert answer.status_code == 200, answer.text
        return [mail["token"] for mail in await mailed() if mail["email"] == new][-1]

    return ask


async def test_between_the_end_of_a_session_and_its_commit_the_session_asks_for_another_address(
    register, log_in, client, database, lock_waiters, db
):
    """The end does not see that request; so the request must wait for the end."""
    await register()
    headers = {"Authorization": f"Bearer {(await log_in())['access_token']}", **MERGE}
    async with database.connected() as ending, asyncio.TaskGroup() as group:
        transaction = ending.transaction()
        await transaction.start()
        await ending.execute("SELECT FROM sessions FOR UPDATE")
        asking = group.create_task(
            client.patch(ME, json={"email": "eve@example.com"}, headers=headers)
        )
        await lock_waiters(1)
        await ending.execute("UPDATE sessions SET revoked_at = now()")
        await transaction.commit()
    assert asking.result().status_code == 401
    assert await db.fetchval("SELECT count(*) FROM one_time_tokens") == 0


async def test_of_two_accounts_that_confirm_one_address_at_once_one_gets_it(
    changing, confirm_email, while_locked, db
):
    tokens = [await changing(f"{name}@example.com", "new@example.com") for name in ("ada", "bob")]
    statuses = await while_locked(None, *map(confirm_email, tokens))
    assert sorted(statuses) == [204, 409]
    loser = ("ada", "bob")[statuses.index(409)]
    emails = {row["email"] for row in await db.fetch("SELECT email FROM users")}
    assert emails == {f"{loser}@example.com", "new@example.com"}


async def test_a_registration_and_a_change_to_one_address_at_once_make_one_account_of_it(
    changing, confirm_email, client, db
):
    for number in range(5):
        new = f"new{number}@example.com"
        token = await changing(f"ada{number}@example.com", new)
        body = {"email": new, "password": OLD, "full_name": "X"}
        registered, confirmed = await asyncio.gather(
            client.post(USERS, json=body), confirm_email(token)
        )
        assert (registered.status_code, confirmed.status_code) in {(201, 409), (409, 204)}
        assert await db.fetchval("SELECT count(*) FROM users WHERE email = $1", new) == 1


async def test_between_look_up_and_lock_a_later_request_ends_the_change(
    changing, confirm_email, while_locked, db
):
    token = await changing("ada@example.com", "new@example.com")
    end = "DELETE FROM one_time_tokens WHERE purpose = 'change_email'"
    assert await while_locked(end, confirm_email(token)) == [422]
    assert await db.fetchval("SELECT email FROM users") == "ada@example.com"


async def test_a_change_that_waits_for_its_account_holds_no_bucket_of_another_request(
    register, log_in, client, database, lock_waiters
):
    """A registration of the new address waits for its buckets, a confirmation for the registration.

    If the confirmation holds the account that the change waits for, the three would deadlock.
    """
    await register()
    headers = {"Authorization": f"Bearer {(await log_in())['access_token']}", **MERGE}
    body = {"email": "new@example.com"}
    async with database.connected() as holding, asyncio.TaskGroup() as group:
        transaction = holding.transaction()
        await transaction.start()
        await holding.execute("SELECT FROM users FOR NO KEY UPDATE")
        changing = group.create_task(client.patch(ME, json=body, headers=headers))
        await lock_waiters(1)
        async with asyncio.timeout(3):
            other = {**body, "password": OLD, "full_name": "X"}
            assert (await client.post(USERS, json=other)).status_code == 201
        await transaction.rollback()
    assert changing.result().status_code == 200
