"""`slipway verify` finds nothing in a healthy system, and names each damage of its data."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest

from chassis.verification.judging import Difference
from slipway.local.facts import local_source
from slipway.operate.verify import verify
from slipway.services import SERVICES
from testkit.waiting import until

pytestmark = pytest.mark.timeout(600)

PLACED_AT_MOST = 60  # other tests order the same product
DELETE = """
    WITH gone AS (DELETE FROM notifications WHERE data ->> 'order_id' = $1 RETURNING *)
    SELECT source_event_id, to_jsonb(gone) AS whole FROM gone
"""
RESTORE = """
    INSERT INTO notifications SELECT * FROM jsonb_populate_record(null::notifications, $1::jsonb)
"""


@asynccontextmanager
async def connected(system, service):
    """Connect to the schema of a service, with its own role."""
    environment = system.process(f"{service}-worker").spec.environment
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    try:
        yield connection
    finally:
        await connection.close()


async def verified(system, *services):
    sources = [
        local_source(name, system.process(f"{name}-worker").spec.environment, rate=1_000_000)
        for name in services or SERVICES
    ]
    return await asyncio.to_thread(verify, sources)


@asynccontextmanager
async def damaged(connection, damage, mend):
    """Damage rows for the time of the block; other tests use the same system."""
    row = await connection.fetchrow(*damage)
    try:
        yield row
    finally:
        await connection.execute(mend[0], *mend[1](row))


async def notified(system, order):
    async with connected(system, "notifications") as connection:
        query = "SELECT count(*) FROM notifications WHERE data ->> 'order_id' = $1"

        async def written():
            return await connection.fetchval(query, str(order.id)) > 0

        await until(written)


async def test_a_working_system_verifies_clean(system, customer, product):
    """Orders are placed while facts are read: what is on its way is no difference."""
    ended = asyncio.Event()

    async def place():
        for _ in range(PLACED_AT_MOST):
            if not ended.is_set():
                await customer.order(product.id)

    placing = asyncio.create_task(place())
    try:
        result = await verified(system)
    finally:
        ended.set()
        await placing
    assert [str(finding) for finding in result.findings] == []
    assert result.counts["orders/order"]["event"] > 0
    assert result.counts["orders/product"]["cause"] > 0
    assert result.counts["users/account"]["row"] > 0
    assert result.counts["notifications/notification of an order"]["effect"] > 0


async def test_each_damage_is_named(system, customer, product):
    order = await customer.order(product.id, 2)
    await notified(system, order)
    async with connected(system, "notifications") as notifications:
        deleted = (DELETE, str(order.id))
        restored = (RESTORE, lambda row: [row["whole"]])
        async with damaged(notifications, deleted, restored) as row:
            result = await verified(system, "notifications")
        found = {(one.member, one.difference) for one in result.findings}
        assert (row["source_event_id"], Difference.EVENT_WITHOUT_EFFECT) in found
        assert Difference.EVENT_WITHOUT_CHANGE in {difference for _, difference in found}
    async with connected(system, "orders") as orders:
        stock = "UPDATE products SET stock = stock + $2 WHERE id = $1 RETURNING stock"
        moved = (stock, product.id, 1)
        back = (stock, lambda _: [product.id, -1])
        async with damaged(orders, moved, back):
            result = await verified(system, "orders")
        assert [(one.member, one.difference) for one in result.findings] == [
            (str(product.id), Difference.OTHER_LEVEL)
        ]
        lines = "UPDATE order_lines SET quantity = quantity + $2 WHERE order_id = $1"
        async with damaged(orders, (lines, order.id, 5), (lines, lambda _: [order.id, -5])):
            result = await verified(system, "orders")
        assert {(one.member, one.difference) for one in result.findings} == {
            (str(product.id), Difference.UNEXPLAINED)
        }
    result = await verified(system)
    assert [str(finding) for finding in result.findings] == []
