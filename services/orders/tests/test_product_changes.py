"""A change of a product: what it accepts, announces and records, and what it does to orders."""

import asyncio
import json
from collections import Counter

import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import PRODUCTS, WAITING, pointers_of, until_true

CHANGES = [
    {"name": "Storm lantern"},
    {"description": "Burns oil."},
    {"description": ""},
    {"price": {"amount": 1, "currency": "CHF"}},
    {"active": False},
    {
        "name": "Lamp",
        "description": "x",
        "price": {"amount": 0, "currency": "EUR"},
        "active": False,
    },
]


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["catalog:write"])


@pytest.fixture
def patch(client, writer):
    """Change a product, as a clerk."""

    async def send(made, change, **headers):
        return await client.patch(
            f"{PRODUCTS}/{made['id']}", json=change, headers={**writer, **headers}
        )

    return send


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_returned_with_the_next_version_and_announced_whole(
    client, product, patch, events, change
):
    made = await product("LANTERN", stock=7, description="Burns paraffin.")
    answer = await patch(made, change)
    assert answer.status_code == 200
    changed = answer.json()
    assert changed == {**made, **change, "version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    assert answer.headers["etag"] == '"2"'
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == changed
    facts = ("sku", "name", "description", "price", "active", "stock", "version")
    [(sequence, data)] = await events("product.updated.v1")
    assert sequence == 2
    assert data == {"product_id": made["id"], **{fact: changed[fact] for fact in facts}}
    assert len(await events("product.stock_changed.v1")) == 1, "the product's first event"


async def test_a_change_is_recorded_with_what_it_was(product, patch, db):
    made = await product("LANTERN", name="Lantern")
    price = {"amount": 5, "currency": "CHF"}
    await patch(made, {"name": "Lamp", "price": price, "description": ""})
    [row] = await db.fetch("SELECT * FROM audit_log WHERE action = 'product.updated'")
    assert row["subject"] == f"product:{made['id']}"
    assert row["actor_id"] is not None
    assert json.loads(row["details"]) == {
        "name": {"before": "Lantern", "after": "Lamp"},
        "price": {"before": made["price"], "after": price},
    }


@pytest.mark.parametrize("change", [{}, {"active": True}, {"name": "The ROPE", "description": ""}])
async def test_a_patch_that_changes_nothing_raises_no_version_and_announces_nothing(
    product, patch, events, db, change
):
    made = await product()
    answer = await patch(made, change)
    assert (answer.status_code, answer.json()) == (200, made)
    assert answer.headers["etag"] == '"1"'
    assert await events("product.updated.v1") == []
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 1, "its creation"
    assert (await patch(made, change, **{"If-Match": '"2"'})).status_code == 412


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": None}, "#/name"),
        ({"name": " "}, "#/name"),
        ({"description": None}, "#/description"),
        ({"description": "x" * 5001}, "#/description"),
        ({"price": None}, "#/price"),
        ({"price": {"amount": 1}}, "#/price/currency"),
        ({"price": {"amount": -1, "currency": "EUR"}}, "#/price/amount"),
        ({"active": None}, "#/active"),
        ({"active": 0}, "#/active"),
        ({"sku": "OTHER"}, "#/sku"),
        ({"stock": 5}, "#/stock"),
        ({"version": 5}, "#/version"),
    ],
)
async def test_a_wrong_member_of_a_patch_is_pointed_to(client, product, patch, change, pointer):
    made = await product()
    answer = await patch(made, change)
    assert answer.status_code == 422
    assert pointers_of(answer) == [pointer]
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == made


async def test_who_may_change_a_product(client, product, customer, patch):
    made = await product()
    url, change = f"{PRODUCTS}/{made['id']}", {"name": "x"}
    assert (await client.patch(url, json=change)).status_code == 401
    assert (await client.patch(url, json=change, headers=customer)).status_code == 403
    answer = await patch({"id": new_id()}, change)
    assert (answer.status_code, problem_kind(answer)) == (404, "product-not-found")


async def test_between_the_read_and_the_write_of_a_version_another_change_is_decided_on_it(
    client, product, patch, events, owner, db
):
    """Of the changes with one If-Match exactly one wins."""
    made = await product()
    async with owner.transaction():
        await owner.execute("SELECT FROM products FOR UPDATE")  # all changes wait here
        changes = [
            asyncio.create_task(patch(made, {"name": f"Rope {n}"}, **{"If-Match": '"1"'}))
            for n in range(5)
        ]
        await until_true(db, WAITING.replace("> 0", "= 5"))
    answers = await asyncio.gather(*changes)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 4}
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == won.json()
    assert [sequence for sequence, _ in await events("product.updated.v1")] == [2]


async def test_an_inactive_product_is_not_listed_and_still_read(client, product, patch):
    made, other = await product("ROPE"), await product("BELL")
    await patch(made, {"active": False})
    for query in ({}, {"q": "rope"}, {"limit": 1}):
        listed = (await client.get(PRODUCTS, params=query)).json()["items"]
        assert [one["sku"] for one in listed] in ([other["sku"]], [])
    read = await client.get(f"{PRODUCTS}/{made['id']}")
    assert (read.status_code, read.json()["active"]) == (200, False)
    await patch(made, {"active": True})
    assert len((await client.get(PRODUCTS)).json()["items"]) == 2


async def test_a_product_can_be_created_before_it_is_sold(client, product):
    made = await product(active=False)
    assert made["active"] is False
    assert (await client.get(PRODUCTS)).json()["items"] == []


async def test_an_inactive_product_can_not_be_ordered(product, patch, place, db):
    made, other = await product("ROPE", stock=5), await product("BELL", stock=5)
    await patch(made, {"active": False})
    answer = await place((other["id"], 1), (made["id"], 1))
    assert (answer.status_code, problem_kind(answer)) == (409, "product-inactive")
    assert pointers_of(answer) == ["#/items/1/product_id"]
    assert await db.fetchval("SELECT array_agg(DISTINCT stock) FROM products") == [5]
    await patch(made, {"active": True})
    assert (await place((other["id"], 1), (made["id"], 1))).status_code == 201


async def test_between_an_orders_request_and_its_lock_the_product_is_taken_out_of_sale(
    product, place, owner, db
):
    made = await product(stock=5)
    async with owner.transaction():
        await owner.execute("UPDATE products SET active = false, version = 2")
        order = asyncio.create_task(place((made["id"], 1)))
        await until_true(db, WAITING)
    answer = await order
    assert (answer.status_code, problem_kind(answer)) == (409, "product-inactive")
    assert await db.fetchval("SELECT stock FROM products") == 5


async def test_an_order_shows_the_price_that_was_agreed_after_the_product_changed(
    client, product, patch, place, customer
):
    made = await product(price={"amount": 100, "currency": "EUR"})
    placed = await place((made["id"], 2))
    await patch(made, {"name": "Other", "price": {"amount": 900, "currency": "CHF"}})
    read = await client.get(placed.headers["location"], headers=customer)
    assert read.json() == placed.json()


async def test_each_version_of_a_product_has_exactly_one_event(
    client, product, patch, place, writer, db
):
    made = await product(stock=5)
    await patch(made, {"name": "Other"})
    await place((made["id"], 1))
    url = f"{PRODUCTS}/{made['id']}"
    body = {"stock": 9, "reason": "counted"}
    await client.put(f"{url}/stock", json=body, headers=writer)
    await client.put(f"{url}/stock", json=body, headers=writer)
    await patch(made, {"active": False})
    await patch(made, {"active": False})
    rows = await db.fetch(
        "SELECT headers->>'ce_sequence' AS sequence, type FROM outbox WHERE key = $1 ORDER BY seq",
        made["id"],
    )
    assert [(int(row["sequence"]), row["type"]) for row in rows] == [
        (1, "product.stock_changed.v1"),
        (2, "product.updated.v1"),
        (3, "product.stock_changed.v1"),
        (4, "product.stock_changed.v1"),
        (5, "product.updated.v1"),
    ]
    assert (await client.get(url)).json()["version"] == 5


@pytest.mark.parametrize("path", ["", "?limit=1", "?q=rope", "/{id}"])
async def test_public_reads_may_be_kept_for_a_moment_and_are_confirmed_by_304(
    client, product, patch, path
):
    made = await product()
    url = PRODUCTS + path.format(id=made["id"])
    first = await client.get(url)
    tag = first.headers["etag"]
    again = await client.get(url, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again):
        assert answer.headers["cache-control"] == "public, max-age=10"
        assert answer.headers["etag"] == tag
    await patch(made, {"description": "Changed."})
    changed = await client.get(url, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
