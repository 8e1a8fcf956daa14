"""The first administrator is made once, whichever process starts when, and after any outage."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError

from chassis.api import create_api
from chassis.auth.passwords import Passwords, PasswordsBusy
from chassis.settings import Environment
from testkit.clients import client_of
from testkit.logs import own_logs
from users.accounts.jobs import FirstAdmin
from users.accounts.wiring import account_transaction
from users.declaration import SERVICE
from users.settings import UsersSettings

PASSWORD = "a password of admins"
EMAIL = "root@example.com"


@pytest.fixture
def admin_settings(settings):
    return with_admin(settings, EMAIL)


def with_admin(settings, email):
    given = {"first_admin_email": email, "first_admin_password": SecretStr(PASSWORD)}
    return settings.model_copy(update=given)


async def finished(app):
    """Wait until the task that makes the administrator has ended."""
    running = {task.get_name(): task for task in app.state.process._running}
    if "first admin" in running:
        async with asyncio.timeout(10):
            await asyncio.wait([running["first admin"]])


async def test_the_first_admin_is_made_and_may_do_all(admin_settings, events):
    app = create_api(SERVICE, admin_settings)
    async with client_of(app) as client:
        await finished(app)
        body = {"email": EMAIL, "password": PASSWORD}
        answer = await client.post("/api/v1/auth/login", json=body)

    assert answer.status_code == 200
    assert {"users:write", "catalog:write"} < set(answer.json()["scope"].split())
    (kind, sequence, data), (then, *_) = await events()
    assert (kind, int(sequence), data["roles"]) == ("user.registered.v1", 1, ["admin"])
    assert then == "user.email_verified.v1"


async def test_if_there_is_an_admin_no_other_is_made(admin_settings, settings, db, events):
    for current in (admin_settings, with_admin(settings, "second@example.com")):
        app = create_api(SERVICE, current)
        async with client_of(app):
            await finished(app)

    assert await db.fetchval("SELECT array_agg(email) FROM users") == [EMAIL]
    assert len(await events()) == 2  # registered, verified


async def test_processes_that_start_at_once_make_one(admin_settings, db, events):
    apps = [create_api(SERVICE, admin_settings) for _ in range(3)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(client_of(app)) for app in apps))
        await asyncio.gather(*(finished(app) for app in apps))

    assert await db.fetchval("SELECT count(*) FROM users") == 1
    assert len(await events()) == 2  # registered, verified
    assert all(app.state.process.failure is None for app in apps)


async def test_an_address_that_is_taken_is_logged_and_its_account_left_alone(
    admin_settings, register, db
):
    await register(EMAIL)
    app = create_api(SERVICE, admin_settings)
    with own_logs() as logs:
        async with client_of(app):
            await finished(app)

    assert await db.fetchval("SELECT array_agg(roles[1]) FROM users") == ["customer"]
    (entry,) = [entry for entry in logs if entry["event"] == "first administrator not created"]
    assert (entry["log_level"], "FIRST_ADMIN_EMAIL" in entry["reason"]) == ("error", True)
    assert app.state.process.failure is None


async def test_a_schema_that_is_not_ready_is_waited_for(resources, database, db):
    owner = await asyncpg.connect(database.owner_url)
    opened = 0

    @asynccontextmanager
    async def transaction():
        nonlocal opened
        opened += 1
        if opened == 3:  # the first attempt opened two transactions
            await owner.execute("GRANT INSERT ON users TO users_runtime")
        async with account_transaction(resources) as accounts:
            yield accounts

    await owner.execute("REVOKE INSERT ON users FROM users_runtime")
    try:
        with own_logs() as logs:
            job = FirstAdmin(transaction=transaction, email=EMAIL, password=SecretStr(PASSWORD))
            await job.run()
    finally:
        await owner.execute("GRANT INSERT ON users TO users_runtime")
        await owner.close()

    assert await db.fetchval("SELECT roles FROM users") == ["admin"]
    assert [entry["log_level"] for entry in logs] == ["warning", "info"]
    assert "permission denied" in logs[0]["error"]
    assert "argon2" not in str(logs)
    assert EMAIL not in str(logs)


async def test_a_full_queue_of_passwords_is_waited_for(resources, db):
    class BusyOnce(Passwords):
        busy = True

        async def hash(self, password):
            if self.busy:
                self.busy = False
                raise PasswordsBusy
            return await super().hash(password)

    @asynccontextmanager
    async def transaction():
        async with account_transaction(resources) as accounts:
            accounts._passwords = passwords
            yield accounts

    with BusyOnce() as passwords:
        job = FirstAdmin(transaction=transaction, email=EMAIL, password=SecretStr(PASSWORD))
        await job.run()

    assert await db.fetchval("SELECT roles FROM users") == ["admin"]


@pytest.mark.parametrize("password", ["password1234", "administrator2026"])
async def test_a_password_that_can_be_guessed_makes_no_admin_and_is_explained(
    resources, db, password
):
    def transaction():
        return account_transaction(resources)

    job = FirstAdmin(transaction=transaction, email=EMAIL, password=SecretStr(password))
    with own_logs() as logged:
        await job.run()

    [line] = [line for line in logged if line["event"] == "first administrator not created"]
    assert "FIRST_ADMIN_PASSWORD can be guessed" in line["reason"]
    assert password not in str(line)
    assert await db.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"first_admin_email": EMAIL}, "FIRST_ADMIN_PASSWORD"),
        ({"first_admin_password": PASSWORD}, "FIRST_ADMIN_EMAIL"),
        ({"first_admin_email": "x", "first_admin_password": PASSWORD}, "first_admin_email"),
        ({"first_admin_email": EMAIL, "first_admin_password": "x"}, "first_admin_password"),
    ],
)
def test_wrong_settings_are_named(settings, given, name):
    with pytest.raises(ValidationError, match=name) as refused:
        UsersSettings(**{**settings.model_dump(), **given})

    assert PASSWORD not in str(refused.value)


def test_production_refuses_the_sample_password(settings):
    given = {
        "environment": Environment.PRODUCTION,
        "first_admin_email": EMAIL,
        "first_admin_password": "slipway-demo-only",
    }
    with pytest.raises(ValidationError, match="FIRST_ADMIN_PASSWORD is the sample secret"):
        UsersSettings(**{**settings.model_dump(), **given})
