"""Snapshots: what orders publishes in a replay, and what it learns of customers from snapshots."""

import json

import asyncpg
import pytest

from chassis.operations.replays import Replays
from contracts.examples import has_shape_of_example
from orders.declaration import SERVICE


@pytest.fixture
def replay(worker_resources, db):
    """Replay everything; return type, sequence and data of the events in the outbox."""

    async def run():
        await db.execute("DELETE FROM outbox")
        replays = Replays(resources=worker_resources, snapshots=SERVICE.snapshots, page=2)
        async with worker_resources.database.transaction() as unit:
            await replays.request(unit, None, by="a test")
        while await replays.work_page():
            pass
        rows = await db.fetch("SELECT type, headers, payload FROM outbox ORDER BY seq")
        return [
            (
                row["type"],
                int(json.loads(row["headers"])["ce_sequence"]),
                json.loads(row["payload"]),
            )
            for row in rows
        ]

    return run


async def test_products_and_orders_are_published_as_they_are(replay, product, place, db):
    products = [await product(f"P-{number}", stock=10) for number in range(3)]
    placed = [
        (await place((products[0]["id"], 2), (products[1]["id"], 1))).json() for _ in range(3)
    ]
    published = await replay()
    assert await db.fetch("SELECT error FROM replays WHERE error IS NOT NULL") == []
    assert all(has_shape_of_example(kind, data) for kind, _, data in published)
    stocks = {
        data["sku"]: (sequence, data["version"], data["stock"])
        for kind, sequence, data in published
        if kind == "product.snapshot.v1"
    }
    assert stocks == {"P-0": (4, 4, 4), "P-1": (4, 4, 7), "P-2": (1, 1, 10)}
    facts = ("sku", "name", "description", "price", "active")
    assert [
        {fact: data[fact] for fact in facts}
        for kind, _, data in published
        if kind == "product.snapshot.v1"
    ] == [{fact: one[fact] for fact in facts} for one in products]
    orders = [data for kind, _, data in published if kind == "order.snapshot.v1"]
    assert [one["order_id"] for one in orders] == [one["id"] for one in placed]
    for one, order in zip(orders, placed, strict=True):
        assert (one["status"], one["total"], one["version"]) == ("placed", order["total"], 1)
        assert [line["quantity"] for line in one["items"]] == [2, 1]


@pytest.mark.parametrize("table", ["products", "orders"])
async def test_what_is_snapshotted_stays_as_it_is_until_the_end(
    worker_resources, product, place, db, table
):
    """Otherwise an event of a later change could precede the snapshot of an earlier state."""
    await place(((await product())["id"], 1))
    (snapshot,) = [
        one for one in SERVICE.snapshots if one.name == f"{table.removesuffix('s')}.snapshot.v1"
    ]
    await db.execute("SET lock_timeout = 50")
    async with worker_resources.database.transaction() as unit:
        assert len(await snapshot.page(unit, worker_resources, None, 10)) == 1
        with pytest.raises(asyncpg.LockNotAvailableError):
            await db.execute(f"UPDATE {table} SET version = version + 1")
    await db.execute(f"UPDATE {table} SET version = version + 1")


async def test_a_snapshot_contains_a_change_that_has_happened(replay, product, place, db):
    rope = await product()
    order = (await place((rope["id"], 1))).json()
    await db.execute("UPDATE orders SET status = 'cancelled', version = 2")
    snapshots = [data for kind, _, data in await replay() if kind == "order.snapshot.v1"]
    assert [(one["order_id"], one["status"], one["version"]) for one in snapshots] == [
        (order["id"], "cancelled", 2)
    ]
