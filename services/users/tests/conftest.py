"""Fixtures of users' tests: its app on a real PostgreSQL, and accounts on it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from chassis.auth import SessionGrant, TokenSigner
from chassis.database import new_id
from chassis.jobs import InsideJob, InsideRun
from chassis.service import Service
from chassis.wiring import ServiceResources
from contracts.examples import has_shape_of_example
from contracts.users import USERS_PRIVATE
from testkit.authenticator import Browser
from testkit.databases import ServiceDatabase
from testkit.tokens import AUDIENCE, ISSUER, TestTokens
from testkit.waiting import until
from users.declaration import SERVICE
from users.resources import Resources

PASSWORD = "correct horse battery"
PASSKEYS = "/api/v1/auth/passkeys"
ORIGIN = "http://localhost:8000"

type Events = Callable[[], Awaitable[list[tuple[str, str, dict[str, Any]]]]]
type Mailed = Callable[[], Awaitable[list[dict[str, Any]]]]
type LockWaiters = Callable[[int], Awaitable[None]]
type HeldAccounts = Callable[..., Awaitable[list[Any]]]
type Register = Callable[..., Awaitable[dict[str, Any]]]
type LogIn = Callable[..., Awaitable[dict[str, Any]]]


def bearer_of(tokens: Mapping[str, Any]) -> dict[str, str]:
    """Return the Authorization header of the tokens of a log-in."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def logged_in(minutes_ago: int) -> SessionGrant:
    """Return the grant of a log-in some minutes ago."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return SessionGrant(session_id=new_id(), authenticated_at=at)


def status_and_kind(answer: httpx.Response) -> tuple[int, str]:
    """Return a problem's status and the name of its type."""
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def assert_invalid_token(answer: httpx.Response) -> None:
    """Check that a mailed token was not accepted."""
    assert status_and_kind(answer) == (422, "invalid-one-time-token"), answer.text


async def count_living(db: asyncpg.Connection) -> int:
    """Return the number of sessions that were not revoked."""
    count: int = await db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
    return count


async def pass_time(db: asyncpg.Connection, seconds: float) -> None:
    """Change all buckets as if this much time had passed."""
    await db.execute(
        "UPDATE log_in_buckets SET empty_at = empty_at - $1::interval,"
        " expires_at = expires_at - $1::interval",
        timedelta(seconds=seconds),
    )


@pytest.fixture(scope="session")
def declaration() -> Service[ServiceResources]:
    return SERVICE


@pytest.fixture
def more_settings(tokens: TestTokens) -> dict[str, Any]:
    return {
        "auth_signing_keys_file": tokens.signing_keys_file,
        "totp_keys": "k" * 32,
        "password_queue_seconds": 60,  # many log-ins at once take long on a busy machine
    }


@pytest.fixture
def resources(api_resources: ServiceResources) -> Resources:
    """The API process's resources, without the app: for use cases by themselves."""
    assert isinstance(api_resources, Resources)
    return api_resources


@pytest.fixture
def lock_waiters(db: asyncpg.Connection) -> LockWaiters:
    """Wait until this many transactions wait for a lock in this database."""
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """

    async def wait(count):
        async def waiting():  # in autocommit mode, each query sees a fresh snapshot
            return await db.fetchval(query) == count

        await until(waiting)

    return wait


@pytest.fixture
def held_accounts(database: ServiceDatabase, lock_waiters: LockWaiters) -> HeldAccounts:
    """Lock all accounts, let each request wait for a lock in turn, and release all at once."""

    async def hold(*requests):
        holder = await asyncpg.connect(database.runtime_url)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM users FOR UPDATE")
        waiting = []
        for count, one in enumerate(requests, 1):
            waiting.append(asyncio.create_task(one))
            await lock_waiters(count)
        await transaction.rollback()
        await holder.close()
        return await asyncio.gather(*waiting)

    return hold


@pytest.fixture
def events(db: asyncpg.Connection) -> Events:
    """Read the outbox: type, ce_sequence (or None) and data of each event, in order."""

    async def read():
        rows = await db.fetch("SELECT type, headers, payload FROM outbox ORDER BY seq")
        read = [
            (row["type"], json.loads(row["headers"]).get("ce_sequence"), json.loads(row["payload"]))
            for row in rows
        ]
        assert all(has_shape_of_example(event_type, data) for event_type, _, data in read)
        return read

    return read


@pytest.fixture
def mailed(resources: Resources, db: asyncpg.Connection) -> Mailed:
    """Run the jobs that wait, and read all requests for a mail: type and data, in order."""

    async def run():
        jobs = await db.fetch(
            "DELETE FROM jobs WHERE kind LIKE 'users.%' RETURNING id, kind, arguments::text"
        )
        for job in sorted(jobs, key=lambda job: job["id"]):
            kind = SERVICE.jobs.find(job["kind"])
            assert isinstance(kind, InsideJob)
            arguments = kind.arguments.model_validate_json(job["arguments"])
            async with resources.database.transaction() as unit:
                given = InsideRun(unit=unit, resources=resources, job_id=job["id"], attempt=1)
                await kind.handler(arguments, given)
        rows = await db.fetch(
            "SELECT type, payload FROM outbox WHERE topic = $1 ORDER BY seq", USERS_PRIVATE.name
        )
        return [{"type": row["type"], **json.loads(row["payload"])} for row in rows]

    return run


@pytest.fixture
def register(client: httpx.AsyncClient) -> Register:
    """Register an account, and return it."""

    async def post(email="ada@example.com", *, password=PASSWORD, full_name="Ada Lovelace"):
        body = {"email": email, "password": password, "full_name": full_name}
        answer = await client.post("/api/v1/users", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return post


@pytest.fixture
def log_in(client: httpx.AsyncClient) -> LogIn:
    """Log an account in, and return its tokens."""

    async def post(email="ada@example.com", *, password=PASSWORD):
        body = {"email": email, "password": password}
        answer = await client.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def log_in_status(client: httpx.AsyncClient) -> Callable[..., Awaitable[int]]:
    """Try to log in with a password, and return the status."""

    async def post(password, email="ada@example.com"):
        body = {"email": email, "password": password}
        return (await client.post("/api/v1/auth/login", json=body)).status_code

    return post


@pytest.fixture
def confirm_email(client: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
    """Redeem a mailed token that verifies or changes an address."""

    async def post(token, **headers):
        path = "/api/v1/email-verifications/confirm"
        return await client.post(path, json={"token": token}, headers=headers)

    return post


@pytest.fixture
def verify_address(db: asyncpg.Connection) -> Callable[[str], Awaitable[None]]:
    """Make an account's address verified, as if a mail had been confirmed."""

    async def verify(email):
        await db.execute("UPDATE users SET email_verified = true WHERE email = $1", email)

    return verify


@pytest.fixture
async def first(register: Register, log_in: LogIn) -> str:
    """The refresh token of a first log-in."""
    await register()
    token: str = (await log_in())["refresh_token"]
    return token


@pytest.fixture
def refresh(client: httpx.AsyncClient) -> Callable[[str], Awaitable[httpx.Response]]:
    """Redeem a refresh token."""

    async def post(token):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await client.post("/api/v1/auth/token", data=form)

    return post


@pytest.fixture
async def bearer(
    register: Register, log_in: LogIn, verify_address: Callable[[str], Awaitable[None]]
) -> dict[str, str]:
    """The Authorization header of a registered customer, from a real log-in."""
    await register()
    await verify_address("ada@example.com")
    return {"Authorization": f"Bearer {(await log_in())['access_token']}"}


@pytest.fixture
def browser():
    """A page of the front end, in the browser of a user."""
    return Browser(origin=ORIGIN)


@pytest.fixture
def creation_options(client, bearer):
    """Get the options for a new passkey."""

    async def get(headers=bearer):
        answer = await client.post(f"{PASSKEYS}/registration-options", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()["public_key"]

    return get


@pytest.fixture
def request_options(client):
    """Get the options for a log-in with a passkey."""

    async def get():
        answer = await client.post(f"{PASSKEYS}/log-in-options")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()["public_key"]

    return get


@pytest.fixture
def add_passkey(client, bearer):
    """Add what the browser made."""

    async def post(credential, name="Laptop", headers=bearer):
        body = {"name": name, "credential": credential}
        return await client.post(PASSKEYS, json=body, headers=headers)

    return post


@pytest.fixture
def log_in_with(client):
    """Log in with what the browser made."""

    async def post(credential):
        return await client.post(f"{PASSKEYS}/log-in", json={"credential": credential})

    return post


@pytest.fixture
def enrolled(browser, creation_options, add_passkey):
    """Add a passkey to the registered account, and return it with what the API shows."""

    async def new(**changes):
        answer = await add_passkey(browser.create(await creation_options(), **changes))
        assert answer.status_code == 201, answer.text
        return browser.passkeys[-1], answer.json()

    return new


@pytest.fixture
def signed(tokens, db):
    """Sign a token of the registered account for another grant."""

    async def headers(grant):
        signer = TokenSigner(
            key=lambda: tokens._key,
            issuer=ISSUER,
            audience=AUDIENCE,
            lifetime=timedelta(minutes=10),
        )
        user_id = await db.fetchval("SELECT id FROM users WHERE email = 'ada@example.com'")
        token = signer.sign(subject=user_id, grant=grant, roles=["customer"], scopes=["profile"])
        return {"Authorization": f"Bearer {token}"}

    return headers
