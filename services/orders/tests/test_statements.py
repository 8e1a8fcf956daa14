"""How many statements each use case of orders needs, and that lists are read from indexes."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError

from chassis.actor import SYSTEM
from chassis.api import create_api
from chassis.database import new_id
from chassis.paging import PageRequest, TimePosition
from orders.orders.models import Order, OrderStatus
from orders.orders.repository import OrderFilter
from orders.orders.wiring import orders
from orders.transitions.models import Cause, Change
from orders.transitions.wiring import transitions
from testkit.clients import client_of
from testkit.plans import generic_plan
from testkit.statements import statements_in_transaction, statements_of_requests

from .conftest import ORDERS, body_of, keyed

PAGE = PageRequest[TimePosition](limit=20)


async def number(sent):
    """Return how many statements were sent; the driver reports each in the loop's next round."""
    await asyncio.sleep(0)
    return len(sent)


@pytest.fixture
def counted(api_resources):
    """Open a unit of work, and collect its statements after BEGIN."""
    return lambda: statements_in_transaction(api_resources.database)


@pytest.fixture
def some(product, place):
    """Place orders of so many lines; return their ids."""

    async def make(count, lines):
        made = [await product(f"P{n}") for n in range(lines)]
        placed = [await place(*((one["id"], 1) for one in made)) for _ in range(count)]
        return [UUID(answer.json()["id"]) for answer in placed]

    return make


@pytest.mark.parametrize("lines", [1, 30])
async def test_an_order_and_its_lines_are_two_statements(counted, api_resources, some, lines):
    [one] = await some(1, lines)
    async with counted() as (unit, sent):
        order = await orders(api_resources, unit).get(one, customer_id=None)
        assert len(order.items) == lines
        assert await number(sent) == 2


@pytest.mark.parametrize("count", [1, 7])
async def test_a_list_and_its_lines_are_two_statements_and_the_total_is_one_more(
    counted, api_resources, some, count
):
    await some(count, 3)
    async with counted() as (unit, sent):
        found = await orders(api_resources, unit).page(PAGE, only=OrderFilter())
        assert sum(len(order.items) for order in found.items) == 3 * count
        assert await number(sent) == 2
    async with counted() as (unit, sent):
        wanted = PageRequest[TimePosition](limit=20, counted=True)
        assert (await orders(api_resources, unit).page(wanted, only=OrderFilter())).total == count
        assert await number(sent) == 3


async def test_a_history_is_one_statement(counted, api_resources, some):
    [one] = await some(1, 1)
    async with counted() as (unit, sent):
        assert len(await transitions(api_resources, unit).history(one, customer_id=None)) == 1
        assert await number(sent) == 1


@pytest.mark.parametrize("count", [1, 7])
async def test_before_the_one_that_writes_a_transition_is_one_statement_and_a_cancellation_two(
    counted, api_resources, some, count
):
    ids = await some(count, 3)
    async with counted() as (unit, sent):
        changes = [Change(order_id=one, to=OrderStatus.CONFIRMED) for one in ids]
        await transitions(api_resources, unit).advance_all(changes, by=SYSTEM)
        assert await number(sent) == 1
    async with counted() as (unit, sent):
        changes = [
            Change(order_id=one, to=OrderStatus.CANCELLED, cause=Cause.NOT_CONFIRMED) for one in ids
        ]
        outcomes = await transitions(api_resources, unit).advance_all(changes, by=SYSTEM)
        assert [outcome.error for outcome in outcomes] == [None] * count
        assert await number(sent) == 2


PRODUCTS_OF_ANY = """
    INSERT INTO products (id, sku, name, description, price_amount, price_currency, stock, active,
        version)
    SELECT gen_random_uuid(), 'P' || n, 'Rope', '', 1999, 'EUR', 100, true, 1
    FROM generate_series(1, $1) AS n
    RETURNING id
"""


@pytest.mark.parametrize("lines", [1, 100])
async def test_placing_an_order_is_six_round_trips_for_any_number_of_lines(
    declaration, settings, customer, db, lines
):
    """The key's lock is sent with BEGIN, and all that is written is one statement."""
    rows = await db.fetch(PRODUCTS_OF_ANY, lines)
    one, *_ = items = [(str(row["id"]), 2) for row in rows]
    app = create_api(declaration, settings)
    async with client_of(app) as client:
        first = await client.post(ORDERS, json=body_of(one), headers=keyed(customer))
        assert first.status_code == 201, "the service knows the customer from now on"
        async with statements_of_requests(app.state.database) as sent:
            answer = await client.post(ORDERS, json=body_of(*items), headers=keyed(customer))
    assert len(answer.json()["items"]) == lines
    begin, key, customers, products, writes, commit = sent
    assert begin.startswith("BEGIN; SELECT 1 WHERE pg_try_advisory_xact_lock(")
    assert "FROM idempotency_keys" in key
    assert "FROM customers" in customers
    assert "UPDATE products" in products
    assert re.findall(r"INSERT INTO (\w+)", writes) == [
        "orders", "order_lines", "order_history", "idempotency_keys", "outbox"
    ]  # fmt: skip
    assert commit == "COMMIT"


async def test_lines_are_never_loaded_without_being_asked_for(api_resources, some):
    await some(1, 1)
    async with api_resources.database.transaction() as unit:
        order = (await unit.session.scalars(select(Order))).one()
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = order.items


LISTS: dict[str, Any] = {
    "all": (OrderFilter(), "ix_orders_created_at_id"),
    # For a status that many orders have, the index on the time alone is as good.
    "of a status": (
        OrderFilter(status=OrderStatus.SHIPPED),
        "ix_orders_status_created_at_id",
        "ix_orders_created_at_id",
    ),
    "of a customer": (OrderFilter(customer_id=UUID(int=7)), "ix_orders_customer_id_created_at_id"),
}


@pytest.fixture
def many(owner, database):
    """Store so many orders of 300 customers and all statuses."""
    del database  # it empties the tables before

    async def store(count):
        await owner.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
        await owner.execute(
            "INSERT INTO customers (id, version)"
            " SELECT lpad(to_hex(n), 32, '0')::uuid, 0 FROM generate_series(0, 299) AS n"
        )
        await owner.execute(
            "INSERT INTO orders (id, customer_id, status, total_amount, total_currency, version,"
            " created_at)"
            " SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 300), 32, '0')::uuid,"
            " (ARRAY['placed', 'confirmed', 'shipped', 'delivered', 'cancelled'])[1 + n % 5],"
            " 1, 'EUR', 1, now() - ($1 - n) * interval '1 second' FROM generate_series(1, $1) AS n",
            count,
        )
        await owner.execute("ANALYZE orders")

    return store


@pytest.fixture
def plans(counted, api_resources, db):
    """Read two pages of a list, and return the generic plans of their statements."""

    async def explained(only):
        async with counted() as (unit, sent):
            use_cases = orders(api_resources, unit)
            first = await use_cases.page(PAGE, only=only)
            assert first.end is not None
            later = PageRequest[TimePosition](limit=20, after=first.end)
            await use_cases.page(later, only=only)
            await number(sent)
        return [await generic_plan(db, sql) for sql in sent if "FROM orders" in sql]

    return explained


@pytest.mark.parametrize("count", [30_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_a_page_is_read_from_an_index_without_a_sort_however_late_it_is(many, plans, count):
    await many(count)
    for only, *indexes in LISTS.values():
        found = await plans(only)
        assert len(found) == 2
        for plan in found:
            assert any(name in plan for name in indexes), plan
            assert "Sort" not in plan, plan


async def test_a_page_of_an_unknown_customer_is_empty(api_resources):
    async with api_resources.database.transaction() as unit:
        found = await orders(api_resources, unit).page(PAGE, only=OrderFilter(customer_id=new_id()))
    assert (list(found.items), found.end, found.total) == ([], None, None)


@pytest.mark.parametrize(("key", "round_trips"), [(None, 2), ("k", 5)])
async def test_a_transition_is_two_round_trips_unless_it_has_a_key(
    declaration, settings, support, some, key, round_trips
):
    """Without a key the order is read before the transaction, which is one statement."""
    first, second = await some(2, 3)
    app = create_api(declaration, settings)
    headers = support if key is None else {**support, "Idempotency-Key": key}
    async with client_of(app) as client:
        await client.post(f"{ORDERS}/{first}/confirm", headers=support)
        async with statements_of_requests(app.state.database) as sent:
            answer = await client.post(f"{ORDERS}/{second}/confirm", headers=headers)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert len(sent) == round_trips
    [writes] = [one for one in sent if "UPDATE orders" in one]
    assert re.findall(r"INSERT INTO (\w+)", writes)[:2] == ["order_history", "outbox"]
