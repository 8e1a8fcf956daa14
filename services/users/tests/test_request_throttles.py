"""Registrations and requests for mails are limited per client and e-mail address, everywhere."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from chassis.api import create_api
from testkit.clients import client_of
from users.declaration import SERVICE
from users.settings import UsersSettings

from .conftest import pass_time

USERS = "/api/v1/users"
VERIFY = "/api/v1/email-verifications"
RESET = "/api/v1/password-resets"
ME = "/api/v1/users/me"
MERGE = {"Content-Type": "application/merge-patch+json"}
PASSWORD = "correct horse battery"
HERE, THERE = "203.0.113.9", "198.51.100.7"
BOTH = pytest.mark.parametrize("path", [VERIFY, RESET])


@pytest.fixture
def settings(settings: UsersSettings) -> UsersSettings:
    limits = {
        "registration_window": 3600,
        "registrations_per_address": 4,
        "registrations_per_email": 4,
        "mail_requests_per_address": 5,
        "mail_requests_per_email": 4,
        "login_failures_per_address": 3,
        "login_failures": 5,
    }
    return settings.model_copy(update=limits)


@pytest.fixture
def ask(client):
    """Ask for a mail a number of times; return the statuses."""

    async def post(path, times=1, *, email="ada@example.com", address=HERE):
        headers = {"X-Real-IP": address}
        return [
            (await client.post(path, json={"email": email}, headers=headers)).status_code
            for _ in range(times)
        ]

    return post


@pytest.fixture
def enrol(client):
    """Register; return the status."""

    async def post(email, *, address=HERE, client=client):
        body = {"email": email, "password": "correct horse battery", "full_name": "X"}
        answer = await client.post(USERS, json=body, headers={"X-Real-IP": address})
        return answer.status_code

    return post


@BOTH
async def test_one_client_gets_half_of_the_mails_of_an_address(ask, path, client, db):
    assert await ask(path, 3) == [202, 202, 429]
    answer = await client.post(path, json={"email": "ada@example.com"}, headers={"X-Real-IP": HERE})
    assert answer.json()["type"].endswith("/too-many-requests")
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= 1800  # two mails an hour
    assert str(wait) in answer.json()["detail"]
    await pass_time(db, wait)
    assert await ask(path, 2) == [202, 429]


@BOTH
async def test_many_clients_together_get_no_more_than_the_limit_of_the_address(ask, path):
    asked = [await ask(path, address=f"192.0.2.{n}") for n in range(6)]
    assert asked == [[202]] * 4 + [[429]] * 2
    assert await ask(path, email="bob@example.com") == [202]


@BOTH
async def test_one_client_gets_few_mails_to_many_addresses(ask, path):
    asked = [await ask(path, email=f"user{n}@example.com") for n in range(7)]
    assert asked == [[202]] * 5 + [[429]] * 2
    assert await ask(path, email="user9@example.com", address=THERE) == [202]


@BOTH
async def test_what_is_refused_does_not_count(ask, path):
    assert await ask(path, 20) == [202] * 2 + [429] * 18
    assert await ask(path, 3, email="bob@example.com") == [202, 202, 429]
    assert await ask(path, 3, address=THERE) == [202, 202, 429]


async def test_resets_and_verifications_count_apart(ask):
    assert await ask(VERIFY, 3) == [202, 202, 429]
    assert await ask(RESET, 3) == [202, 202, 429]


@BOTH
async def test_all_spellings_of_an_address_count_together(ask, path):
    spellings = ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"]
    assert [await ask(path, email=email) for email in spellings] == [[202], [202], [429]]


async def test_strangers_who_use_up_the_resets_leave_their_owner_a_mail_that_works(
    ask, register, mailed, client
):
    await register()
    for n in range(5):
        await ask(RESET, address=f"192.0.2.{n}")
    assert await ask(RESET, address=THERE) == [429]
    token = (await mailed())[-1]["token"]
    body = {"token": token, "new_password": "another horse battery"}
    assert (await client.post(f"{RESET}/confirm", json=body)).status_code == 204


async def test_whoever_resets_the_password_logs_in_though_strangers_keep_failing(
    ask, register, mailed, client
):
    await register()

    async def try_(password, address):
        body = {"email": "ada@example.com", "password": password}
        headers = {"X-Real-IP": address}
        return (await client.post("/api/v1/auth/login", json=body, headers=headers)).status_code

    for n in range(6):
        await try_("wrong horse battery", f"192.0.2.{n}")
    assert await try_("correct horse battery", THERE) == 429
    await ask(RESET)
    body = {"token": (await mailed())[-1]["token"], "new_password": "another horse battery"}
    headers = {"X-Real-IP": THERE}
    assert (await client.post(f"{RESET}/confirm", json=body, headers=headers)).status_code == 204
    assert await try_("another horse battery", THERE) == 200
    assert await try_("another horse battery", HERE) == 429


@BOTH
async def test_a_mail_is_sent_for_each_request_that_was_accepted(ask, path, register, mailed, db):
    await register()
    await mailed()
    await db.execute("DELETE FROM outbox")
    await ask(path, 5)
    assert len(await mailed()) == 2


async def test_requests_for_another_address_count_for_that_address(ask, client, bearer):
    for expected in (200, 200, 429):
        answer = await client.patch(
            ME,
            json={"email": "bob@example.com"},
            headers={**bearer, **MERGE, "X-Real-IP": HERE},
        )
        assert answer.status_code == expected
    assert await ask(VERIFY, email="bob@example.com") == [429]
    assert await ask(VERIFY, 3, email="bob@example.com", address=THERE) == [202, 202, 429]


async def test_the_mail_of_a_registration_counts_for_its_address(client, mailed, log_in, ask):
    """Registered and deleted again and again, an address would get any number of mails."""
    sent = []
    for number in range(3):
        headers = {"X-Real-IP": f"192.0.2.{number // 2}"}
        body = {"email": "ada@example.com", "password": PASSWORD, "full_name": "X"}
        assert (await client.post(USERS, json=body, headers=headers)).status_code == 201
        sent.append(len(await mailed()))
        bearer = {"Authorization": f"Bearer {(await log_in())['access_token']}"}
        assert (await client.delete(ME, headers=bearer)).status_code == 204
    assert sent == [1, 2, 3]
    assert await ask(VERIFY, 2, address=THERE) == [202, 429]
    assert len(await mailed()) == 3, "there was no account"
    body = {"email": "ada@example.com", "password": PASSWORD, "full_name": "X"}
    headers = {"X-Real-IP": THERE}
    assert (await client.post(USERS, json=body, headers=headers)).status_code == 201
    assert len(await mailed()) == 3, "the account is there, and no further mail was sent"


async def test_a_mail_that_is_not_sent_does_not_count(enrol, ask):
    assert await ask(VERIFY, 2) == [202, 202]
    assert await enrol("ada@example.com") == 201, "its mail is not sent"
    assert await ask(VERIFY, 2, email="bob@example.com") == [202, 202]
    assert await ask(VERIFY, 2, email="eve@example.com") == [202, 429], "five from one client"


@pytest.mark.parametrize("changes", [False, True])
async def test_whoever_confirms_an_address_logs_in_though_strangers_keep_failing(
    client, bearer, mailed, db, *, changes
):
    email = "ada@example.com"
    if changes:
        email = "lovelace@example.org"
        await client.patch(ME, json={"email": email}, headers={**bearer, **MERGE})
    else:
        await db.execute("UPDATE users SET email_verified = false")

    async def log_in_from(address, password=PASSWORD):
        body = {"email": email, "password": password}
        headers = {"X-Real-IP": address}
        return (await client.post("/api/v1/auth/login", json=body, headers=headers)).status_code

    token = [mail for mail in await mailed() if mail["email"] == email][-1]["token"]
    for n in range(6):
        await log_in_from(f"192.0.2.{n}", "wrong horse battery")
    assert await log_in_from(THERE) == 429
    headers = {"X-Real-IP": THERE}
    body = {"token": token}
    assert (await client.post(f"{VERIFY}/confirm", json=body, headers=headers)).status_code == 204
    assert await log_in_from(THERE) == 200
    assert await log_in_from(HERE) == 429


async def test_a_registration_whose_turn_to_be_hashed_comes_too_late_does_not_count(settings):
    impatient = settings.model_copy(update={"password_queue_seconds": 0.01})
    app = create_api(SERVICE, impatient)
    async with client_of(app) as client:
        queue = app.state.resources.passwords.queue
        for _ in range(queue.turns):
            await queue.take_turn()
        body = {"email": "ada@example.com", "password": PASSWORD, "full_name": "X"}
        headers = {"X-Real-IP": HERE}
        for _ in range(6):
            answer = await client.post(USERS, json=body, headers=headers)
            assert answer.json()["type"].endswith("/passwords-busy")
        for _ in range(queue.turns):
            queue.end_turn()
        assert (await client.post(USERS, json=body, headers=headers)).status_code == 201


async def test_one_client_makes_few_accounts(enrol):
    made = [await enrol(f"user{n}@example.com") for n in range(6)]
    assert made == [201] * 4 + [429] * 2
    assert await enrol("user9@example.com", address=THERE) == 201


async def test_trying_whether_an_address_is_taken_is_limited(register, enrol):
    """The fixture's registration counts for its own client."""
    await register()
    assert [await enrol("ADA@example.com") for _ in range(3)] == [409, 409, 429]
    assert [await enrol("ada@example.com", address=THERE) for _ in range(2)] == [409, 429]


async def test_a_registration_that_is_not_valid_does_not_count(client, enrol):
    for _ in range(6):
        assert (await client.post(USERS, json={}, headers={"X-Real-IP": HERE})).status_code == 422
    assert await enrol("ada@example.com") == 201


async def test_between_the_check_and_the_count_no_other_process_gets_in(settings):
    """Of twenty requests at once, to two processes, no more are accepted than the limit says."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client_of(create_api(SERVICE, settings)))
            for _ in range(2)
        ]
        sending = [
            clients[n % 2].post(
                RESET, json={"email": "ada@example.com"}, headers={"X-Real-IP": f"192.0.2.{n}"}
            )
            for n in range(20)
        ]
        answers = await asyncio.gather(*sending)
    assert sorted(answer.status_code for answer in answers) == [202] * 4 + [429] * 16


async def test_between_the_count_and_the_hash_no_other_registration_gets_in(settings, enrol, db):
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client_of(create_api(SERVICE, settings)))
            for _ in range(2)
        ]
        statuses = await asyncio.gather(
            *(enrol(f"user{n}@example.com", client=clients[n % 2]) for n in range(12))
        )
    assert sorted(statuses) == [201] * 4 + [429] * 8
    assert await db.fetchval("SELECT count(*) FROM users") == 4


async def test_limits_can_be_off(settings):
    app = create_api(SERVICE, settings.model_copy(update={"slipway_limits": "off"}))
    async with client_of(app) as client:
        for path in (VERIFY, RESET):
            body = {"email": "ada@example.com"}
            statuses = {(await client.post(path, json=body)).status_code for _ in range(8)}
            assert statuses == {202}


async def test_what_is_stored_names_nobody(ask, db):
    await ask(RESET)
    rows = await db.fetch("SELECT key FROM log_in_buckets")
    assert {len(row["key"]) for row in rows} == {32}
    assert len(rows) == 3
