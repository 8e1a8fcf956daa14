"""Transitions and orders at the same time: exactly one wins, and nobody waits in a circle."""

import asyncio
from collections import Counter

import pytest

from testkit.problems import problem_kind

from .conftest import ORDERS, PRODUCTS, WAITING, until_true


@pytest.fixture
def order(product, place):
    """Place an order of two products."""

    async def make(*verbs, client=None, headers=None):
        made = [await product(sku, stock=10) for sku in ("A", "B")]
        placed = (await place(*((one["id"], 2) for one in made))).json()
        for verb in verbs:
            await client.post(f"{ORDERS}/{placed['id']}/{verb}", headers=headers)
        return placed

    return make


async def stocks(db):
    return await db.fetchval("SELECT array_agg(stock ORDER BY sku) FROM products")


async def test_of_two_cancellations_at_once_exactly_one_wins(client, customer, order, db, events):
    placed = await order()
    answers = await asyncio.gather(
        *(client.post(f"{ORDERS}/{placed['id']}/cancel", headers=customer) for _ in range(10))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    assert await stocks(db) == [10, 10]
    assert len(await events("order.cancelled.v1")) == 1
    assert await db.fetchval("SELECT count(*) FROM order_history") == 2


@pytest.mark.parametrize("first", ["cancel", "ship"])
async def test_a_transition_that_waits_for_another_sees_what_it_did(
    client, support, order, owner, db, first
):
    placed = await order("confirm", client=client, headers=support)
    second = {"cancel": "ship", "ship": "cancel"}[first]
    async with owner.transaction():
        await owner.execute("SELECT FROM orders FOR UPDATE")
        one = asyncio.create_task(client.post(f"{ORDERS}/{placed['id']}/{first}", headers=support))
        await until_true(db, WAITING)
        other = asyncio.create_task(
            client.post(f"{ORDERS}/{placed['id']}/{second}", headers=support)
        )
        await until_true(db, WAITING.replace("> 0", "> 1"))
    answers = [await one, await other]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert problem_kind(answers[1]) == "invalid-transition"
    assert answers[1].json()["from"] == answers[0].json()["status"]
    assert await stocks(db) == ([10, 10] if first == "cancel" else [8, 8])


async def test_the_last_piece_that_fifty_want_at_once_goes_to_exactly_one(
    client, product, place, caller
):
    made = await product(stock=1)
    answers = await asyncio.gather(*(place((made["id"], 1), headers=caller()) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 0


async def test_batches_orders_and_cancellations_at_once_do_not_deadlock(
    client, product, place, support, db
):
    made = [await product(f"P{n}", stock=1000) for n in range(3)]
    forth = [(one["id"], 1) for one in made]
    placed = [(await place(*forth)).json()["id"] for _ in range(12)]

    def batch(ids):
        items = [{"order_id": one, "to": "cancelled"} for one in ids]
        return client.post(f"{ORDERS}/transitions", headers=support, json={"items": items})

    answers = await asyncio.gather(
        batch(placed),
        batch(placed[::-1]),
        *(client.post(f"{ORDERS}/{one}/cancel", headers=support) for one in placed),
        *(place(*forth[:: 1 if n % 2 else -1]) for n in range(12)),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 409}, "a deadlock is a 503"
    single = sum(answer.status_code == 200 for answer in answers[2:14])
    batched = sum(
        item["error"] is None for answer in answers[:2] for item in answer.json()["items"]
    )
    assert single + batched == 12
    assert await db.fetchval("SELECT array_agg(DISTINCT stock) FROM products") == [1000 - 12]


async def test_a_batch_locks_all_orders_by_id_before_it_locks_a_product(
    client, product, place, support, owner, db
):
    made = await product()
    ids = sorted([(await place((made["id"], 1))).json()["id"] for _ in range(3)])
    items = [{"order_id": one, "to": "cancelled"} for one in reversed(ids)]
    async with owner.transaction():
        await owner.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", ids[1])
        batch = asyncio.create_task(
            client.post(f"{ORDERS}/transitions", headers=support, json={"items": items})
        )
        await until_true(db, WAITING)
        free = "SELECT id FROM {} FOR UPDATE SKIP LOCKED"
        assert {str(row["id"]) for row in await db.fetch(free.format("orders"))} == {ids[2]}
        assert len(await db.fetch(free.format("products"))) == 1
    assert (await batch).status_code == 200


CHANGE = """
    WITH changed AS (
        UPDATE orders SET version = version + 1, status = $2 WHERE id = $1 RETURNING *
    )
    INSERT INTO order_history (order_id, version, status, actor_kind)
    SELECT id, version, status, 'system' FROM changed
"""


@pytest.mark.parametrize(
    ("expected", "refused"),
    [({}, (409, "invalid-transition")), ({"If-Match": '"1"'}, (412, "precondition-failed"))],
)
async def test_a_transition_that_read_the_order_before_another_changed_it_decides_again(
    client, support, order, owner, db, events, expected, refused
):
    placed = await order()
    async with owner.transaction():
        await owner.execute(CHANGE, placed["id"], "cancelled")
        late = asyncio.create_task(
            client.post(f"{ORDERS}/{placed['id']}/confirm", headers={**support, **expected})
        )
        await until_true(db, WAITING)
    answer = await late
    assert (answer.status_code, problem_kind(answer)) == refused
    assert await events("order.confirmed.v1") == []
    assert await db.fetchval("SELECT array_agg(version ORDER BY version) FROM order_history") == [
        1, 2,
    ]  # fmt: skip


async def test_the_event_of_a_transition_follows_what_was_published_under_the_orders_lock(
    client, support, order, owner, db
):
    """A replay publishes an order's snapshot while it holds the lock."""
    placed = await order()
    async with owner.transaction():
        await owner.execute("SELECT FROM orders FOR NO KEY UPDATE")
        waiting = asyncio.create_task(
            client.post(f"{ORDERS}/{placed['id']}/confirm", headers=support)
        )
        await until_true(db, WAITING)
        await owner.execute(
            "INSERT INTO outbox (id, topic, key, type, headers, payload)"
            " VALUES (gen_random_uuid(), 't', $1, 'snapshot', '{}', '')",
            placed["id"],
        )
    assert (await waiting).status_code == 200
    types = await db.fetchval(
        "SELECT array_agg(type ORDER BY seq) FROM outbox WHERE key = $1", placed["id"]
    )
    assert types[-2:] == ["snapshot", "order.confirmed.v1"]


async def test_of_ten_confirmations_at_once_exactly_one_wins(client, support, order, db, events):
    placed = await order()
    answers = await asyncio.gather(
        *(client.post(f"{ORDERS}/{placed['id']}/confirm", headers=support) for _ in range(10))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    assert len(await events("order.confirmed.v1")) == 1
    assert await db.fetchval("SELECT version FROM orders") == 2
