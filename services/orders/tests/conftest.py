"""Fixtures of orders' tests: its app on a real PostgreSQL, products, and callers."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from chassis.database import new_id
from chassis.service import Service
from contracts.examples import has_shape_of_example
from orders.declaration import SERVICE
from orders.resources import WorkerResources
from testkit.tokens import TestTokens
from testkit.waiting import until

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

WAITING = (
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)

type Make = Callable[..., Awaitable[dict[str, Any]]]
type Place = Callable[..., Awaitable[httpx.Response]]
type Events = Callable[[str], Awaitable[list[tuple[int, dict[str, Any]]]]]


def body_of(*items: tuple[str, int], **address: object) -> dict[str, Any]:
    """Return the body of an order of pairs of product id and quantity."""
    lines = [{"product_id": product, "quantity": quantity} for product, quantity in items]
    return {"items": lines, "shipping_address": {**ADDRESS, **address}}


def pointers_of(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


async def until_true(db: asyncpg.Connection, query: str, *arguments: object) -> None:
    """Poll until a query returns true; PostgreSQL announces nothing that could be awaited."""

    async def true() -> bool:
        return bool(await db.fetchval(query, *arguments))

    await until(true)


@pytest.fixture(scope="session")
def declaration() -> Service[WorkerResources]:
    return SERVICE


def keyed(headers: dict[str, str], key: str | None = None) -> dict[str, str]:
    """Add an Idempotency-Key, by default a new one."""
    return {**headers, "Idempotency-Key": key or uuid4().hex}


@pytest.fixture
def caller(tokens: TestTokens) -> Callable[..., dict[str, str]]:
    """Return the headers of a caller: by default, a customer with a customer's scopes."""

    def headers(
        subject: UUID | None = None, scopes: Iterable[str] = ("orders:read", "orders:write")
    ) -> dict[str, str]:
        return tokens.headers(subject=subject or new_id(), scopes=scopes)

    return headers


@pytest.fixture
def customer(caller: Callable[..., dict[str, str]]) -> dict[str, str]:
    return caller()


@pytest.fixture
def support(caller: Callable[..., dict[str, str]]) -> dict[str, str]:
    """Return the headers of a person of support."""
    return caller(scopes=("orders:read", "orders:write", "orders:fulfil", "orders:read-all"))


@pytest.fixture
def product(client: httpx.AsyncClient, tokens: TestTokens) -> Make:
    """Add a product to the catalogue, and return it."""

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
    """Place an order, as the customer unless other headers are given."""

    async def post(
        *items: tuple[str, int],
        headers: dict[str, str] | None = None,
        key: str | None = None,
        **address: object,
    ) -> httpx.Response:
        sent = keyed(headers or customer, key)
        return await client.post(ORDERS, json=body_of(*items, **address), headers=sent)

    return post


@pytest.fixture
def events(db: asyncpg.Connection) -> Events:
    """Read the outbox: ce_sequence and data of each event of a type, in order."""

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
