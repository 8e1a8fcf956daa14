"""Stock under parallel orders: no overselling, no deadlock, nothing half done."""

import asyncio
from collections import Counter

import asyncpg
import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import PRODUCTS, WAITING, until_true


async def stock_of(client, product):
    return (await client.get(f"{PRODUCTS}/{product['id']}")).json()["stock"]


async def test_of_fifty_orders_for_the_last_ten_exactly_ten_succeed(
    client, product, place, caller, events
):
    made = await product(stock=10)
    answers = await asyncio.gather(*(place((made["id"], 1), headers=caller()) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
    assert {problem_kind(answer) for answer in answers if answer.status_code == 409} == {
        "out-of-stock"
    }
    assert await stock_of(client, made) == 0
    published = await events("product.stock_changed.v1")
    assert [(sequence, data["stock"]) for sequence, data in published] == [
        (sequence, 11 - sequence) for sequence in range(1, 12)
    ], "each order's event has its own version, and they lie in the outbox in that order"
    assert len(await events("order.placed.v1")) == 10


async def test_orders_that_name_products_in_opposite_order_do_not_deadlock(
    client, product, place, caller
):
    one, two = await product("A", stock=1000), await product("B", stock=1000)
    there, back = [(one["id"], 1), (two["id"], 2)], [(two["id"], 2), (one["id"], 1)]
    answers = await asyncio.gather(
        *(place(*(there, back)[n % 2], headers=caller()) for n in range(60))
    )
    assert {answer.status_code for answer in answers} == {201}, "a deadlock would answer 503"
    assert await stock_of(client, one) == 1000 - 60
    assert await stock_of(client, two) == 1000 - 120


async def test_products_are_locked_in_the_order_of_their_ids(product, place, owner, db):
    """This holds for any order of the lines, and of the rows in the table."""
    low, high = sorted((str(new_id()), str(new_id())))
    for sku, product_id in (("HIGH", high), ("LOW", low)):
        made = await product(sku)
        await owner.execute("DELETE FROM stock_adjustments")  # they would keep the id as it is
        await owner.execute("UPDATE products SET id = $2 WHERE id = $1", made["id"], product_id)
    async with owner.transaction():
        await owner.execute("SELECT FROM products WHERE id = $1 FOR UPDATE", low)
        order = asyncio.create_task(place((high, 1), (low, 1)))
        await until_true(db, WAITING)
        free = "SELECT id FROM products WHERE id = $1 FOR UPDATE NOWAIT"
        assert await db.fetchval(free, high), "the order waits for the lower id, and holds no other"
    assert (await order).status_code == 201


async def test_what_was_sold_and_what_is_left_add_up(product, place, caller, db):
    made = [await product(f"P{n}", stock=40) for n in range(4)]
    baskets = [
        [(made[(n + k) % 4]["id"], 1 + (n * k) % 3) for k in range(1 + n % 4)] for n in range(60)
    ]
    answers = await asyncio.gather(*(place(*basket, headers=caller()) for basket in baskets))
    assert {answer.status_code for answer in answers} == {201, 409}
    rows = await db.fetch(
        "SELECT p.stock + coalesce(sum(l.quantity), 0) AS total, p.version,"
        " 1 + count(l.product_id) AS changes"
        " FROM products p LEFT JOIN order_lines l ON l.product_id = p.id GROUP BY p.id"
    )
    assert [row["total"] for row in rows] == [40] * 4
    assert [row["version"] for row in rows] == [row["changes"] for row in rows]


async def test_first_orders_of_one_customer_at_once_make_one_customer(product, place, customer, db):
    made = await product(stock=20)
    answers = await asyncio.gather(*(place((made["id"], 1), headers=customer) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [201] * 10
    assert await db.fetchval("SELECT count(*) FROM customers") == 1


async def test_a_deactivation_waits_for_the_order_in_progress_and_stops_the_next(
    product, place, owner, db
):
    made = await product(stock=5)
    assert (await place((made["id"], 1))).status_code == 201
    async with owner.transaction():
        await owner.execute("SELECT FROM products FOR UPDATE")  # the next order waits here
        order = asyncio.create_task(place((made["id"], 1)))
        await until_true(db, WAITING)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await db.execute("SET lock_timeout = '200ms'; UPDATE customers SET is_active = false")
    assert (await order).status_code == 201
    await db.execute("UPDATE customers SET is_active = false")
    assert problem_kind(await place((made["id"], 1))) == "customer-inactive"


async def test_between_the_statement_of_an_order_and_its_lock_pieces_come_back(
    product, place, owner, db
):
    """What the order's snapshot shows is too little; what it locks is enough."""
    made = await product(stock=1)
    assert (await place((made["id"], 1))).status_code == 201
    async with owner.transaction():
        await owner.execute("UPDATE products SET stock = stock + 5, version = version + 1")
        order = asyncio.create_task(place((made["id"], 2)))
        await until_true(db, WAITING)
    answer = await order
    assert answer.status_code == 201, answer.text
    assert await db.fetchval("SELECT stock FROM products") == 3
