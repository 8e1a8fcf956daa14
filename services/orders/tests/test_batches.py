"""Transitions of several orders in one request: each has a result of its own."""

import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import ORDERS, PRODUCTS, keyed, pointers_of


@pytest.fixture
def send(client, support):
    """Send a batch of pairs of order id and wanted status, or of whole items."""

    async def post(*items, headers=None):
        body = [
            item if isinstance(item, dict) else {"order_id": item[0], "to": item[1]}
            for item in items
        ]
        return await client.post(
            f"{ORDERS}/transitions", headers=headers or support, json={"items": body}
        )

    return post


@pytest.fixture
def placed(product, place):
    """Place orders of one piece of the same product; return the product and the ids."""

    async def make(count):
        made = await product(stock=1000)
        return made, [(await place((made["id"], 1))).json()["id"] for _ in range(count)]

    return make


async def test_each_item_has_its_own_result(client, send, placed, events):
    made, ids = await placed(4)
    unknown = str(new_id())
    await send((ids[3], "confirmed"))
    answer = await send(
        (ids[2], "shipped"),
        (ids[0], "confirmed"),
        {"order_id": ids[1], "to": "cancelled", "version": 1, "reason": "Damaged."},
        (unknown, "cancelled"),
        {"order_id": ids[3], "to": "shipped", "version": 1},
    )
    assert answer.status_code == 200
    results = answer.json()["items"]
    kinds = [
        (one["error"]["status"], one["error"]["type"].rpartition("/")[2]) if one["error"] else None
        for one in results
    ]
    assert kinds == [
        (409, "invalid-transition"),
        None,
        None,
        (404, "order-not-found"),
        (412, "precondition-failed"),
    ]
    assert [(one["order_id"], one["status"], one["version"]) for one in results] == [
        (ids[2], "placed", 1),
        (ids[0], "confirmed", 2),
        (ids[1], "cancelled", 2),
        (unknown, None, None),
        (ids[3], "confirmed", 2),
    ]
    assert len(await events("order.confirmed.v1")) == 2
    [(_, cancelled)] = await events("order.cancelled.v1")
    assert cancelled["reason"] == "support"
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 997


async def test_a_batch_returns_the_stock_of_a_product_once(client, send, placed, events):
    made, ids = await placed(5)
    await send(*((one, "cancelled") for one in ids))
    read = (await client.get(f"{PRODUCTS}/{made['id']}")).json()
    assert (read["stock"], read["version"]) == (1000, 1 + 5 + 1)
    assert len(await events("product.stock_changed.v1")) == 7


async def test_the_changes_of_a_batch_have_one_time(send, placed, db):
    """`slipway verify` adds up what one transaction returned to the stock by its time."""
    _, ids = await placed(3)
    await send(*((one, "cancelled") for one in ids))
    times = await db.fetch("SELECT DISTINCT created_at FROM order_history WHERE version = 2")
    assert len(times) == 1


async def test_an_order_stands_in_one_item(send, placed, db):
    _, [one] = await placed(1)
    answer = await send((one, "confirmed"), (one.upper(), "shipped"))
    assert answer.status_code == 422
    assert problem_kind(answer) == "duplicate-order"
    assert pointers_of(answer) == ["#/items/1/order_id"]
    assert await db.fetchval("SELECT status FROM orders") == "placed"


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([], "#/items"),
        ([{"order_id": str(new_id()), "to": "shipped"}] * 101, "#/items"),
        ([{"order_id": "one", "to": "shipped"}], "#/items/0/order_id"),
        ([{"order_id": str(new_id()), "to": "lost"}], "#/items/0/to"),
        ([{"order_id": str(new_id()), "to": "shipped", "version": 0}], "#/items/0/version"),
        ([{"order_id": str(new_id()), "to": "shipped", "reason": ""}], "#/items/0/reason"),
    ],
)
async def test_a_bad_item_is_pointed_to(send, items, pointer):
    answer = await send(*items)
    assert answer.status_code == 422
    assert pointers_of(answer) == [pointer]


async def test_a_hundred_orders_are_one_batch(send, placed):
    _, ids = await placed(3)
    unknown = [str(new_id()) for _ in range(97)]
    answer = await send(*((one, "confirmed") for one in (*ids, *unknown)))
    assert [one["error"] is None for one in answer.json()["items"]] == [True] * 3 + [False] * 97


async def test_no_order_becomes_placed_again(send, placed):
    _, [one] = await placed(1)
    [result] = (await send((one, "placed"))).json()["items"]
    assert result["error"]["type"].endswith("invalid-transition")


async def test_a_batch_needs_the_scope_of_support(send, placed, customer):
    _, [one] = await placed(1)
    answer = await send((one, "cancelled"), headers=customer)
    assert problem_kind(answer) == "insufficient-scope"


async def test_a_repeated_batch_changes_nothing(send, placed, support, events):
    _, ids = await placed(2)
    headers = keyed(support)
    first, again = [await send(*((one, "confirmed") for one in ids), headers=headers) for _ in "12"]
    assert first.content == again.content
    assert len(await events("order.confirmed.v1")) == 2
