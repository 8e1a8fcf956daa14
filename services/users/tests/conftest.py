"""What the tests of the users service share: its app on a real Postgres, and accounts on it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from chassis.process import Process
from chassis.settings import Environment
from chassis.testing import ServiceDatabase, TestTokens, client_of
from chassis.testing.tokens import ISSUER
from contracts.examples import has_shape_of_example
from users.app import create_app
from users.settings import UsersSettings
from users.wiring import Resources, open_resources

PASSWORD = "correct horse battery"

type Events = Callable[[], Awaitable[list[tuple[str, str, dict[str, Any]]]]]
type Register = Callable[..., Awaitable[dict[str, Any]]]
type LogIn = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
def service_directory() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def settings(database: ServiceDatabase, tokens: TestTokens) -> UsersSettings:
    return UsersSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",  # the API process serves without Kafka, too
        auth_issuer=ISSUER,
        auth_jwks_file=tokens.jwks_file,
        auth_signing_keys_file=tokens.signing_keys_file,
    )


@pytest.fixture
async def client(settings: UsersSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(settings)) as client:
        yield client


@pytest.fixture
async def resources(settings: UsersSettings) -> AsyncIterator[Resources]:
    """What the API process holds, without the app: for use cases on their own."""
    process = Process(name="users-test", settings=settings)
    async with process.tasks(), open_resources(settings, process) as resources:
        yield resources


@pytest.fixture
async def db(database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    """The service's own view of its tables, past the app."""
    connection = await asyncpg.connect(database.runtime_url)
    yield connection
    await connection.close()


@pytest.fixture
def events(db: asyncpg.Connection) -> Events:
    """Reads the outbox: type, ce_sequence (or None) and data of each event, in order."""

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
def register(client: httpx.AsyncClient) -> Register:
    """Registers an account and answers it."""

    async def post(email="ada@example.com", *, password=PASSWORD, full_name="Ada Lovelace"):
        body = {"email": email, "password": password, "full_name": full_name}
        answer = await client.post("/api/v1/users", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return post


@pytest.fixture
def log_in(client: httpx.AsyncClient) -> LogIn:
    """Logs an account in and answers its tokens."""

    async def post(email="ada@example.com", *, password=PASSWORD):
        body = {"email": email, "password": password}
        answer = await client.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
async def bearer(register: Register, log_in: LogIn) -> dict[str, str]:
    """The Authorization header of a registered customer, by a real log-in."""
    await register()
    return {"Authorization": f"Bearer {(await log_in())['access_token']}"}
