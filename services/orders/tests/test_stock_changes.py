"""Stock that people change: set, adjusted, its history, and the law that nothing is lost."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from chassis.actor import SYSTEM
from chassis.database import new_id
from orders.orders.models import WantedLine
from orders.orders.wiring import orders
from testkit.problems import problem_kind

from .conftest import ADDRESS, ORDERS, PRODUCTS, WAITING, keyed, pointers_of, until_true

MAX_STOCK = 10**9
# What each product would need to have another stock: none, if nothing is lost.
BROKEN = """
    SELECT p.id FROM products AS p
    WHERE p.stock + (
        SELECT coalesce(sum(l.quantity), 0)
        FROM order_lines AS l JOIN orders AS o ON o.id = l.order_id
        WHERE l.product_id = p.id AND o.status <> 'cancelled'
    ) <> (SELECT coalesce(sum(a.delta), 0) FROM stock_adjustments AS a WHERE a.product_id = p.id)
"""


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["catalog:write"])


@pytest.fixture
def put(client, writer):
    """Set the stock of a product."""

    async def send(made, stock, reason="counted", **headers):
        return await client.put(
            f"{PRODUCTS}/{made['id']}/stock",
            json={"stock": stock, "reason": reason},
            headers={**writer, **headers},
        )

    return send


@pytest.fixture
def adjust(client, writer):
    """Adjust the stock of a product."""

    async def send(made, delta, reason="delivery", **headers):
        return await client.post(
            f"{PRODUCTS}/{made['id']}/stock-adjustments",
            json={"delta": delta, "reason": reason},
            headers={**writer, **headers},
        )

    return send


@pytest.fixture
def history(client, writer):
    """Read the whole history of a product, page by page."""

    async def read(made, limit=100):
        url, found = f"{PRODUCTS}/{made['id']}/stock-adjustments?limit={limit}", []
        while url:
            answer = await client.get(url, headers=writer)
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            url = answer.links.get("next", {}).get("url")
        return found

    return read


@pytest.fixture
async def _nothing_is_lost(db):
    yield
    assert await db.fetch(BROKEN) == []


pytestmark = pytest.mark.usefixtures("_nothing_is_lost")


async def test_a_stock_is_set_and_announced(client, product, put, events):
    made = await product(stock=7)
    answer = await put(made, 40)
    assert answer.status_code == 200
    assert (answer.json()["stock"], answer.json()["version"]) == (40, 2)
    assert answer.headers["etag"] == '"2"'
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == answer.json()
    [_, (sequence, data)] = await events("product.stock_changed.v1")
    known = {name: value for name, value in data.items() if value is not None}
    assert sequence == 2
    assert known == {"version": 2, "product_id": made["id"], "sku": "ROPE", "stock": 40}


@pytest.mark.parametrize("delta", [1, -7, 5, MAX_STOCK - 7])
async def test_a_stock_is_adjusted_and_announced(client, product, adjust, events, delta):
    made = await product(stock=7)
    answer = await adjust(made, delta)
    assert answer.status_code == 201
    assert answer.json() == {
        **answer.json(),
        "product_id": made["id"],
        "delta": delta,
        "stock": 7 + delta,
        "reason": "delivery",
    }
    read = (await client.get(f"{PRODUCTS}/{made['id']}")).json()
    assert (read["stock"], read["version"]) == (7 + delta, 2)
    [_, (sequence, data)] = await events("product.stock_changed.v1")
    assert (sequence, data["stock"]) == (2, 7 + delta)


@pytest.mark.parametrize(
    ("delta", "kind"), [(-8, "stock-too-low"), (MAX_STOCK - 6, "stock-too-high")]
)
async def test_an_adjustment_beyond_the_bounds_changes_nothing(
    client, product, adjust, history, events, delta, kind
):
    made = await product(stock=7)
    answer = await adjust(made, delta)
    assert (answer.status_code, problem_kind(answer)) == (409, kind)
    assert answer.json()["available"] == 7
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == made
    assert len(await history(made)) == len(await events("product.stock_changed.v1")) == 1


async def test_the_stock_that_it_has_already_is_no_change(product, put, history, events, db):
    made = await product(stock=7)
    answer = await put(made, 7)
    assert (answer.status_code, answer.json()) == (200, made)
    assert len(await history(made)) == len(await events("product.stock_changed.v1")) == 1
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 1
    assert (await put(made, 7, **{"If-Match": '"2"'})).status_code == 412


async def test_every_change_is_in_the_history_the_newest_first(product, put, adjust, history):
    made = await product(stock=7)
    await adjust(made, 5)
    await adjust(made, -2, reason="  broken ")
    await put(made, 3, reason="counted twice")
    rows = []
    for limit in (1, 2, 100):
        rows = await history(made, limit)
        assert [(row["delta"], row["stock"], row["reason"]) for row in rows] == [
            (-7, 3, "counted twice"),
            (-2, 10, "broken"),
            (5, 12, "delivery"),
            (7, 7, "Initial stock"),
        ]
    assert all(row["actor_id"] for row in rows)
    assert sorted((row["created_at"] for row in rows), reverse=True) == [
        row["created_at"] for row in rows
    ]


async def test_a_product_without_stock_has_an_empty_history(product, history):
    assert await history(await product(stock=0)) == []


async def test_each_change_is_recorded(product, put, adjust, db):
    made = await product(stock=7)
    await put(made, 9)
    await adjust(made, -1)
    rows = await db.fetch("SELECT * FROM audit_log WHERE action = 'product.stock_changed'")
    assert {row["subject"] for row in rows} == {f"product:{made['id']}"}
    assert [json.loads(row["details"]) for row in rows] == [
        {"before": 7, "after": 9, "reason": "counted"},
        {"before": 9, "after": 8, "reason": "delivery"},
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("PUT", "stock", {"reason": "x"}, "#/stock"),
        ("PUT", "stock", {"stock": -1, "reason": "x"}, "#/stock"),
        ("PUT", "stock", {"stock": MAX_STOCK + 1, "reason": "x"}, "#/stock"),
        ("PUT", "stock", {"stock": 1}, "#/reason"),
        ("PUT", "stock", {"stock": 1, "reason": " "}, "#/reason"),
        ("PUT", "stock", {"stock": 1, "reason": "x", "delta": 1}, "#/delta"),
        ("POST", "stock-adjustments", {"delta": 0, "reason": "x"}, "#/delta"),
        ("POST", "stock-adjustments", {"delta": 1.0, "reason": "x"}, "#/delta"),
        ("POST", "stock-adjustments", {"delta": MAX_STOCK + 1, "reason": "x"}, "#/delta"),
        ("POST", "stock-adjustments", {"delta": -MAX_STOCK - 1, "reason": "x"}, "#/delta"),
        ("POST", "stock-adjustments", {"delta": 1, "reason": "x" * 201}, "#/reason"),
        ("POST", "stock-adjustments", {"delta": 1, "reason": "a\0b"}, "#/reason"),
    ],
)
async def test_a_wrong_member_is_pointed_to(client, product, writer, method, path, body, pointer):
    url = f"{PRODUCTS}/{(await product())['id']}/{path}"
    answer = await client.request(method, url, json=body, headers=writer)
    assert answer.status_code == 422
    assert pointers_of(answer) == [pointer]


async def test_stock_and_its_history_need_the_scope_and_a_product(
    client, product, customer, writer
):
    known, unknown = (await product())["id"], new_id()
    for method, path, body in (
        ("PUT", "stock", {"stock": 1, "reason": "x"}),
        ("POST", "stock-adjustments", {"delta": 1, "reason": "x"}),
        ("GET", "stock-adjustments", None),
    ):
        for product_id, headers, status in (
            (known, {}, 401),
            (known, customer, 403),
            (unknown, writer, 404),
        ):
            url = f"{PRODUCTS}/{product_id}/{path}"
            answer = await client.request(method, url, json=body, headers=headers)
            assert answer.status_code == status, (method, path)


async def test_a_repeated_adjustment_takes_effect_once(client, product, adjust):
    made, key = await product(stock=7), keyed({})
    first, again = await adjust(made, 5, **key), await adjust(made, 5, **key)
    assert first.content == again.content
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 12


async def test_a_change_of_stock_honours_if_match(product, put, adjust):
    made = await product(stock=7)
    assert (await put(made, 9, **{"If-Match": '"1"'})).status_code == 200
    assert (await put(made, 8, **{"If-Match": '"1"'})).status_code == 412
    assert (await adjust(made, 1, **{"If-Match": '"1"'})).status_code == 412
    assert (await adjust(made, 1, **{"If-Match": '"2"'})).status_code == 201


async def test_between_the_read_and_the_write_of_a_stock_another_one_is_counted(
    product, put, owner, db
):
    """Of the stocks with one If-Match exactly one is set."""
    made = await product(stock=7)
    async with owner.transaction():
        await owner.execute("SELECT FROM products FOR UPDATE")  # all changes wait here
        settings = [
            asyncio.create_task(put(made, 100 + n, **{"If-Match": '"1"'})) for n in range(5)
        ]
        await until_true(db, WAITING.replace("> 0", "= 5"))
    answers = await asyncio.gather(*settings)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 4}


@pytest.fixture
def placing(api_resources):
    """Place an order in a transaction of the test, so that it holds the products' rows."""

    async def place(unit, made, quantity):
        line = WantedLine(product_id=UUID(made["id"]), quantity=quantity)
        use_cases = orders(api_resources, unit)
        address: Any = ADDRESS
        return await use_cases.place(new_id(), lines=[line], shipping_address=address, by=SYSTEM)

    return place


async def test_between_an_orders_lock_and_its_commit_the_stock_is_set_to_what_was_counted(
    product, put, history, api_resources, placing, db
):
    made = await product(stock=10)
    async with api_resources.database.transaction() as unit:
        await placing(unit, made, 3)
        setting = asyncio.create_task(put(made, 50))
        await until_true(db, WAITING)
    answer = await setting
    assert (answer.json()["stock"], answer.json()["version"]) == (50, 3)
    assert (await history(made))[0]["delta"] == 43, "seven were left"


async def test_between_a_count_and_the_set_of_its_stock_an_order_is_placed(
    product, put, api_resources, placing, db
):
    """With If-Match the order is not lost: whoever counted counts again."""
    made = await product(stock=10)
    async with api_resources.database.transaction() as unit:
        await placing(unit, made, 3)
        setting = asyncio.create_task(put(made, 50, **{"If-Match": '"1"'}))
        await until_true(db, WAITING)
    assert (await setting).status_code == 412
    assert await db.fetchval("SELECT stock FROM products") == 7


async def test_adjustments_among_orders_of_several_products_never_oversell_or_deadlock(
    product, place, adjust, put, caller, db, events
):
    """Orders lock their products in the order of the ids; a change of stock locks one."""
    made = [await product(f"P{n}", stock=15) for n in range(3)]
    orders_ = [
        place(*((made[(n + k) % 3]["id"], 1 + n % 3) for k in range(1 + n % 3)), headers=caller())
        for n in range(40)
    ]
    changes = [adjust(made[n % 3], -4 if n % 2 else 3) for n in range(20)]
    counts = [put(made[n], 12) for n in range(3)]
    work = [one for group in zip(orders_[:20], changes, strict=True) for one in group]
    answers = await asyncio.gather(*work, *orders_[20:], *counts)
    assert {answer.status_code for answer in answers} <= {200, 201, 409}, "503 is a deadlock"
    assert {problem_kind(answer) for answer in answers if answer.status_code == 409} <= {
        "out-of-stock",
        "stock-too-low",
    }
    assert await db.fetchval("SELECT min(stock) FROM products") >= 0
    for one in made:
        versions = [
            sequence
            for sequence, data in await events("product.stock_changed.v1")
            if data["product_id"] == one["id"]
        ]
        assert versions == list(range(1, len(versions) + 1))


async def test_pieces_that_came_back_above_the_limit_can_be_taken_away(
    client, product, place, put, adjust, customer
):
    made = await product(stock=10)
    order = (await place((made["id"], 5))).json()
    assert (await put(made, MAX_STOCK)).status_code == 200
    cancelled = await client.post(f"{ORDERS}/{order['id']}/cancel", headers=customer)
    assert cancelled.status_code == 200
    assert (await adjust(made, 1)).status_code == 409
    taken = await adjust(made, -1)
    assert (taken.status_code, taken.json()["stock"]) == (201, MAX_STOCK + 4)
