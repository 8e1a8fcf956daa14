"""Revision 0007 gives the products of the build before the initial stock that they had."""

import asyncio

import pytest
from blockbuster import BlockBuster

from chassis.database import new_id
from chassis.database.migrations import downgrade, upgrade
from testkit.databases import ServiceDatabase

from .test_database import INSERT_LINE, INSERT_ORDER, connected
from .test_stock_changes import BROKEN

INSERT_PRODUCT = (
    "INSERT INTO products"
    " (id, sku, name, description, price_amount, price_currency, stock, version)"
    " VALUES ($1, $2, 'Rope', '', 1, 'EUR', $3, 4)"
)


@pytest.fixture(autouse=True)
def _reading_files(_no_blocking_calls: BlockBuster):
    """Allow blocking reads: Alembic reads files in a separate event loop, which serves nobody."""
    _no_blocking_calls.deactivate()
    yield
    _no_blocking_calls.activate()


async def test_what_is_left_and_what_was_ordered_is_the_initial_stock(
    postgres_url, service_directory
):
    database = await ServiceDatabase.create(postgres_url, service_directory)
    await asyncio.to_thread(downgrade, service_directory, database.owner_url, "orders@0001")
    customer, left, sold_out, empty = (new_id() for _ in range(4))
    async with connected(database.owner_url) as owner:
        for product_id, stock in ((left, 5), (sold_out, 0), (empty, 0)):
            await owner.execute(INSERT_PRODUCT, product_id, str(product_id), stock)
        await owner.execute("INSERT INTO customers (id, version) VALUES ($1, 0)", customer)
        for status, quantity in (("placed", 2), ("refunded", 3), ("cancelled", 4)):
            order = new_id()
            await owner.execute(INSERT_ORDER, order, customer, status)
            await owner.execute(INSERT_LINE, order, left, quantity)
            await owner.execute(INSERT_LINE, order, sold_out, quantity)
    await asyncio.to_thread(upgrade, service_directory, database.owner_url)
    async with connected(database.runtime_url) as db:
        rows = await db.fetch("SELECT product_id, delta, stock, actor_id FROM stock_adjustments")
        assert {row["product_id"]: row["delta"] for row in rows} == {left: 10, sold_out: 5}
        assert all(row["stock"] == row["delta"] and row["actor_id"] is None for row in rows)
        assert await db.fetch(BROKEN) == []
        assert await db.fetchval("SELECT bool_and(active) FROM products")
