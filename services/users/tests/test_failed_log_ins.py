"""Failed log-ins throttle further ones to the same account, in all processes, and no others."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import argon2
import httpx
import pytest
from pydantic import ValidationError

from chassis.api import create_api
from chassis.auth.passwords import Passwords, PasswordsBusy
from chassis.deadline import Deadline
from chassis.process import Process
from chassis.settings import Environment
from testkit.clients import client_of
from testkit.waiting import until
from users.declaration import SERVICE
from users.log_ins.errors import InvalidCredentials
from users.log_ins.service import LogIn
from users.log_ins.wiring import log_in_transaction
from users.resources import Resources
from users.settings import UsersSettings
from users.throttling.errors import TooManyFailedLogIns
from users.throttling.jobs import prune_buckets

from .conftest import pass_time

LOGIN = "/api/v1/auth/login"
PASSWORD = "correct horse battery"
RIGHT: dict[str, Any] = {"email": "ada@example.com", "password": PASSWORD}
WRONG = {**RIGHT, "password": "wrong horse battery"}
UNKNOWN = {**WRONG, "email": "nobody@example.com"}
HERE, THERE = "203.0.113.9", "198.51.100.7"


@pytest.fixture
def settings(settings: UsersSettings) -> UsersSettings:
    return settings.model_copy(update={"login_failures_per_address": 3, "login_failures": 5})


@pytest.fixture
def try_(client: httpx.AsyncClient):
    """Try to log in a number of times; return the statuses."""

    async def post(body, times=1, address=HERE):
        return [
            (await client.post(LOGIN, json=body, headers={"X-Real-IP": address})).status_code
            for _ in range(times)
        ]

    return post


async def test_after_too_many_the_next_must_wait_and_the_right_password_as_well(
    register, try_, client, db
):
    await register()
    assert await try_(WRONG, 4) == [401, 401, 401, 429]

    answer = await client.post(LOGIN, json=RIGHT, headers={"X-Real-IP": HERE})
    assert answer.status_code == 429
    assert answer.json()["type"].endswith("/too-many-failed-log-ins")
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= 1200  # three attempts an hour
    assert str(wait) in answer.json()["detail"]

    await pass_time(db, wait)
    assert await try_(RIGHT) == [200]


async def test_one_leaks_out_at_a_time(register, try_, db):
    await register()
    await try_(WRONG, 3)
    await pass_time(db, 1200)
    assert await try_(WRONG, 2) == [401, 429]


async def test_an_account_that_does_not_exist_gets_the_same_response(register, client):
    await register()

    async def answers(body):
        found = []
        for _ in range(5):
            answer = await client.post(LOGIN, json=body, headers={"X-Real-IP": HERE})
            problem = {**answer.json(), "request_id": "", "detail": ""}
            found.append((answer.status_code, problem, set(answer.headers)))
        return found

    assert await answers(UNKNOWN) == await answers(WRONG)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (HERE, 429),
        (THERE, 401),
        (f"::ffff:{HERE}", 429),
        ("2001:db8::1", 401),
    ],
)
async def test_one_address_does_not_count_for_another(register, try_, address, status):
    await register()
    await try_(WRONG, 3)
    assert await try_(WRONG, address=address) == [status]


async def test_a_subscriber_of_ipv6_is_one_address(register, try_):
    await register()
    await try_(WRONG, 3, address="2001:db8::1")
    assert await try_(WRONG, address="2001:db8::ffff:1") == [429]
    assert await try_(WRONG, address="2001:db8:0:1::1") == [401]


async def test_another_account_is_not_concerned(register, try_):
    await register()
    await register("bob@example.com")
    await try_(WRONG, 4)
    assert await try_({**RIGHT, "email": "bob@example.com"}) == [200]


async def test_all_spellings_of_an_address_count_together(register, try_):
    await register()
    spellings = ["ADA@example.com", "ada@EXAMPLE.com", "Ada@Example.Com"]
    tried = [await try_({**WRONG, "email": email}) for email in spellings]
    assert tried == [[401]] * 3
    assert await try_(RIGHT) == [429]


async def test_what_succeeds_does_not_count_and_forgives(register, try_):
    await register()
    assert await try_(RIGHT, 8) == [200] * 8
    await try_(WRONG, 2)
    assert await try_(RIGHT) == [200]
    assert await try_(WRONG, 4) == [401, 401, 401, 429]


async def test_many_addresses_fill_the_accounts_bucket_and_do_not_lock_its_owner_out(
    register, try_
):
    await register()
    assert await try_(RIGHT, address=THERE) == [200]
    attack = [await try_(WRONG, address=f"192.0.2.{n}") for n in range(7)]
    assert attack == [[401]] * 5 + [[429]] * 2
    assert await try_(RIGHT, address=HERE) == [429], "nobody logged in from here before"
    assert await try_(RIGHT, address=THERE) == [200]
    assert await try_(WRONG, 4, address=THERE) == [401, 401, 401, 429]


async def test_an_address_is_forgotten_after_a_while(register, try_, db):
    await register()
    await try_(RIGHT, address=THERE)
    await pass_time(db, 31 * 24 * 3600)
    for n in range(5):
        await try_(WRONG, address=f"192.0.2.{n}")
    assert await try_(RIGHT, address=THERE) == [429]


async def test_one_address_can_not_fill_the_accounts_bucket(register, try_):
    await register()
    assert await try_(WRONG, 20, address=THERE) == [401] * 3 + [429] * 17
    assert await try_(RIGHT, address=HERE) == [200]


async def test_limits_can_be_off(settings):
    app = create_api(SERVICE, settings.model_copy(update={"slipway_limits": "off"}))
    async with client_of(app) as client:
        statuses = {(await client.post(LOGIN, json=UNKNOWN)).status_code for _ in range(8)}
    assert statuses == {401}


def test_production_refuses_to_be_without_limits(settings):
    given = {"environment": Environment.PRODUCTION, "slipway_limits": "off"}
    with pytest.raises(ValidationError, match="SLIPWAY_LIMITS=off is for development"):
        UsersSettings(**{**settings.model_dump(), **given})


class CountedPasswords(Passwords):
    """Real passwords that count verifications."""

    verified = 0

    async def verify(self, password, stored):
        self.verified += 1
        return await super().verify(password, stored)


@pytest.fixture
async def replicas(settings):
    """The log-ins of two processes on one database, which share the passwords of the test."""
    async with AsyncExitStack() as stack:
        passwords = stack.enter_context(CountedPasswords(threads=1, waiting=100, seconds=60))
        log_ins = []
        for n in range(2):
            process = Process(name=f"users-{n}", settings=settings)
            opening = SERVICE.open_api(settings, process)
            resources = await stack.enter_async_context(process.running(opening))
            assert isinstance(resources, Resources)
            transaction = partial(log_in_transaction, resources)
            log_ins.append(LogIn(transaction=transaction, passwords=passwords))
        yield log_ins, passwords


async def at_once(log_ins, attempts):
    tries = [log_ins[n % 2].run(**attempt) for n, attempt in enumerate(attempts)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(one) for one in outcomes} <= {InvalidCredentials, TooManyFailedLogIns}
    return sum(isinstance(one, InvalidCredentials) for one in outcomes)


async def test_between_the_check_and_the_count_no_other_process_gets_in(register, replicas):
    """Of twenty attempts at once, in two processes, no more are verified than may fail."""
    await register()
    log_ins, passwords = replicas
    assert await at_once(log_ins, [{**WRONG, "address": HERE}] * 20) == 3
    assert passwords.verified == 3


async def test_between_the_check_and_the_count_no_other_address_gets_in(register, replicas):
    await register()
    log_ins, passwords = replicas
    attempts = [{**WRONG, "address": f"192.0.2.{n}"} for n in range(20)]
    assert await at_once(log_ins, attempts) == 5
    assert passwords.verified == 5


async def test_between_the_two_buckets_attempts_that_succeed_and_fail_never_wait_for_each_other(
    register, replicas
):
    await register()
    log_ins, _ = replicas
    addresses = [HERE, THERE]
    for _ in range(3):
        tries = [
            log_ins[n % 2].run(**body, address=addresses[n // 2 % 2])
            for n, body in enumerate([RIGHT, RIGHT, RIGHT, RIGHT, WRONG, WRONG])
        ]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        errors = {type(one) for one in outcomes if isinstance(one, Exception)}
        assert errors <= {InvalidCredentials, TooManyFailedLogIns}


async def test_between_the_count_and_the_hash_a_client_goes_and_the_attempt_stays_counted(
    register, resources, db
):
    await register()
    with CountedPasswords(threads=1, seconds=60) as passwords:
        await passwords.queue.take_turn()  # another request hashes for a long time
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        for _ in range(3):
            going = asyncio.create_task(use_case.run(**RIGHT, address=HERE))
            await waits(passwords)
            going.cancel()
            await asyncio.wait([going])
        with pytest.raises(TooManyFailedLogIns):
            await use_case.run(**RIGHT, address=HERE)
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def waits(passwords):
    """Return once a password waits for its turn."""
    await until(lambda: passwords.queue.waiting == 1)


async def test_a_deadline_that_passes_in_the_queue_opens_no_session(register, resources, db):
    await register()

    async def bounded(use_case):
        async with Deadline(seconds=None) as deadline:
            ending = asyncio.create_task(ends(deadline))
            try:
                await use_case.run(**RIGHT, address=HERE)
            finally:
                await ending

    async def ends(deadline):
        await waits(passwords)
        deadline.end_now()

    with CountedPasswords(threads=1, seconds=60) as passwords:
        await passwords.queue.take_turn()
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(TimeoutError):
            await bounded(use_case)
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_full_queue_refuses_before_the_attempt_is_counted(register, resources, db):
    await register()
    before = await db.fetch("SELECT key, empty_at FROM log_in_buckets")
    with Passwords(threads=1, waiting=0) as passwords:
        await passwords.queue.take_turn()
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(PasswordsBusy):
            await use_case.run(**RIGHT, address=HERE)
    assert await db.fetch("SELECT key, empty_at FROM log_in_buckets") == before


async def test_a_turn_that_comes_too_late_does_not_count_as_a_failed_log_in(
    register, try_, resources
):
    await register()
    with Passwords(threads=1, seconds=0.01) as passwords:
        await passwords.queue.take_turn()
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        for attempt in (RIGHT, UNKNOWN) * 10:
            with pytest.raises(PasswordsBusy):
                await use_case.run(**attempt, address=HERE)
    assert await try_(WRONG, 4) == [401, 401, 401, 429]


async def test_a_turn_that_comes_too_late_from_a_known_address_leaves_the_accounts_bucket_alone(
    register, try_, resources, db
):
    await register()
    assert await try_(RIGHT) == [200]
    before = await db.fetch("SELECT key, empty_at FROM log_in_buckets WHERE NOT known")
    with Passwords(threads=1, seconds=0.01) as passwords:
        await passwords.queue.take_turn()
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        with pytest.raises(PasswordsBusy):
            await use_case.run(**RIGHT, address=HERE)
    assert await db.fetch("SELECT key, empty_at FROM log_in_buckets WHERE NOT known") == before


class BusyAfter(Passwords):
    """Has turns for this many verifications, and then none."""

    def __init__(self, verifications):
        super().__init__(threads=1, seconds=0.01)
        self.left = verifications

    async def verify(self, password, stored):
        good = await super().verify(password, stored)
        self.left -= 1
        if not self.left:
            await self.queue.take_turn()
        return good


async def test_a_second_spelling_whose_turn_comes_too_late_leaves_the_attempt_counted(
    register, try_, resources
):
    """The first spelling was verified, so it was a guess."""
    await register()
    spelled_twice = {**WRONG, "password": "wrong horse u\u0308"}
    for _ in range(2):
        with BusyAfter(1) as passwords:
            transaction = partial(log_in_transaction, resources)
            use_case = LogIn(transaction=transaction, passwords=passwords)
            with pytest.raises(PasswordsBusy):
                await use_case.run(**spelled_twice, address=HERE)
    assert await try_(WRONG, 2) == [401, 429]


async def test_a_log_in_succeeds_though_no_turn_comes_to_renew_its_hash(register, resources, db):
    await register()
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await db.execute("UPDATE users SET password_hash = $1", old)
    with BusyAfter(1) as passwords:
        use_case = LogIn(transaction=partial(log_in_transaction, resources), passwords=passwords)
        await use_case.run(**RIGHT, address=HERE)
    assert await db.fetchval("SELECT password_hash FROM users") == old


async def test_what_counts_no_longer_is_deleted_in_batches(register, try_, resources, db):
    await register()
    await try_(RIGHT, address=THERE)
    for n in range(4):
        await try_(WRONG, address=f"192.0.2.{n}")
    await pass_time(db, 2 * 3600)
    await try_(WRONG, address=HERE)

    deleted: list[int] = []
    while not deleted or deleted[-1]:
        async with resources.database.transaction() as unit:
            deleted.append(await prune_buckets(unit, 2))
    assert max(deleted) == 2

    kept = await db.fetch("SELECT known FROM log_in_buckets ORDER BY known")
    # The account, HERE, and the record of the last failure; THERE.
    assert [row["known"] for row in kept] == [False, False, False, True]


async def test_what_is_stored_names_nobody(register, try_, db):
    await register()
    await try_(WRONG)
    rows = await db.fetch("SELECT key FROM log_in_buckets")
    assert {len(row["key"]) for row in rows} == {32}
    assert not any(b"ada" in row["key"] for row in rows)
