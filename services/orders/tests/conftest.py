"""What the tests of the orders service share: its app on a real Postgres, products, callers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from chassis.database import new_id
from chassis.settings import Environment
from chassis.testing import ServiceDatabase, TestTokens, client_of
from chassis.testing.tokens import ISSUER
from contracts.examples import has_shape_of_example
from orders.app import create_app
from orders.settings import OrdersSettings

PRODUCTS = "/api/v1/products"
ORDERS = "/api/v1/orders"
ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "line2": None,
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}

type Make = Callable[..., Awaitable[dict[str, Any]]]
type Place = Callable[..., Awaitable[httpx.Response]]
type Events = Callable[[str], Awaitable[list[tuple[int, dict[str, Any]]]]]


def body_of(*items: tuple[str, int], **address: object) -> dict[str, Any]:
    """The body of an order: pairs of product id and quantity."""
    lines = [{"product_id": product, "quantity": quantity} for product, quantity in items]
    return {"items": lines, "shipping_address": {**ADDRESS, **address}}


def kind_of(answer: httpx.Response) -> str:
    """The last part of a problem's type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return str(answer.json()["type"]).rpartition("/")[2]


def pointers_of(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


async def until(db: asyncpg.Connection, query: str, *arguments: object) -> None:
    """Wait until a query answers true; PostgreSQL offers nothing to await for what others do."""
    async with asyncio.timeout(20):
        while True:
            if await db.fetchval(query, *arguments):
                return
            await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def service_directory() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def settings(database: ServiceDatabase, tokens: TestTokens) -> OrdersSettings:
    return OrdersSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database.runtime_url),
        database_pool_timeout=60,  # tests send more at once than the pool has connections
        kafka_bootstrap_servers="127.0.0.1:1",  # the API process serves without Kafka, too
        auth_issuer=ISSUER,
        auth_jwks_file=tokens.jwks_file,
    )


@pytest.fixture
async def client(settings: OrdersSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(settings)) as client:
        yield client


@pytest.fixture
async def db(database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    """The tables, past the app, as the role that the app has."""
    connection = await asyncpg.connect(database.runtime_url)
    yield connection
    await connection.close()


@pytest.fixture
async def owner(database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    """The schema, as the role that migrates it."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
def caller(tokens: TestTokens) -> Callable[..., dict[str, str]]:
    """Makes the headers of a caller; a customer with the scopes of one, unless told."""

    def headers(
        subject: UUID | None = None, scopes: Iterable[str] = ("orders:read", "orders:write")
    ) -> dict[str, str]:
        return tokens.headers(subject=subject or new_id(), scopes=scopes)

    return headers


@pytest.fixture
def customer(caller: Callable[..., dict[str, str]]) -> dict[str, str]:
    return caller()


@pytest.fixture
def product(client: httpx.AsyncClient, tokens: TestTokens) -> Make:
    """Puts a product into the catalogue and answers it."""

    async def make(sku: str = "ROPE", *, stock: int = 100, **fields: Any) -> dict[str, Any]:
        body = {
            "sku": sku,
            "name": f"The {sku}",
            "description": "",
            "price": {"amount": 1999, "currency": "EUR"},
            "stock": stock,
            **fields,
        }
        headers = tokens.headers(scopes=["catalog:write"])
        answer = await client.post(PRODUCTS, json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


@pytest.fixture
def place(client: httpx.AsyncClient, customer: dict[str, str]) -> Place:
    """Orders, as the customer unless other headers are given."""

    async def post(
        *items: tuple[str, int],
        headers: dict[str, str] | None = None,
        key: str | None = None,
        **address: object,
    ) -> httpx.Response:
        sent = dict(headers or customer)
        if key is not None:
            sent["Idempotency-Key"] = key
        return await client.post(ORDERS, json=body_of(*items, **address), headers=sent)

    return post


@pytest.fixture
def events(db: asyncpg.Connection) -> Events:
    """Reads the outbox: ce_sequence and data of each event of a type, in order."""

    async def read(event_type: str) -> list[tuple[int, dict[str, Any]]]:
        rows = await db.fetch(
            "SELECT headers, payload FROM outbox WHERE type = $1 ORDER BY seq", event_type
        )
        read = [
            (int(json.loads(row["headers"])["ce_sequence"]), json.loads(row["payload"]))
            for row in rows
        ]
        assert all(has_shape_of_example(event_type, data) for _, data in read)
        return read

    return read
