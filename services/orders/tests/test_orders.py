"""Placing an order: what it accepts, returns and publishes, and why it may be refused."""

from uuid import uuid4

import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import ADDRESS, ORDERS, PRODUCTS, body_of, keyed, pointers_of


async def test_an_order_has_the_prices_and_names_of_the_catalogue(client, product, place, customer):
    rope = await product("ROPE", price={"amount": 3490, "currency": "EUR"})
    bell = await product("BELL", price={"amount": 6900, "currency": "EUR"})
    answer = await place((bell["id"], 1), (rope["id"], 3))
    assert answer.status_code == 201
    order = answer.json()
    assert order["status"] == "placed"
    assert order["version"] == 1
    assert order["items"] == [
        {
            "product_id": made["id"],
            "name": made["name"],
            "quantity": quantity,
            "unit_price": made["price"],
            "total": {"amount": quantity * made["price"]["amount"], "currency": "EUR"},
        }
        for made, quantity in ((bell, 1), (rope, 3))
    ]
    assert order["total"] == {"amount": 6900 + 3 * 3490, "currency": "EUR"}
    assert order["shipping_address"] == ADDRESS
    assert answer.headers["etag"] == '"1"'
    read = await client.get(answer.headers["location"], headers=customer)
    assert read.json() == order


async def test_stock_is_taken_and_both_are_announced(client, product, place, events):
    rope = await product("ROPE", stock=10)
    bell = await product("BELL", stock=5)
    order = (await place((rope["id"], 4), (bell["id"], 5))).json()
    for made, left in ((rope, 6), (bell, 0)):
        read = (await client.get(f"{PRODUCTS}/{made['id']}")).json()
        assert (read["stock"], read["version"]) == (left, 2)
    [(sequence, placed)] = await events("order.placed.v1")
    assert sequence == order["version"] == placed["version"]
    assert placed["order_id"] == order["id"]
    assert placed["items"] == [
        {name: value for name, value in item.items() if name != "total"} for item in order["items"]
    ]
    assert placed["total"] == order["total"]
    assert placed["placed_at"] == order["created_at"]
    changed = [
        (sequence, data["product_id"], data["stock"])
        for sequence, data in await events("product.stock_changed.v1")
    ]
    assert sorted(changed[2:]) == sorted([(2, rope["id"], 6), (2, bell["id"], 0)])


async def test_the_largest_order_adds_up_exactly(product, place):
    made = [
        await product(f"P{n}", stock=1000, price={"amount": 10**11, "currency": "EUR"})
        for n in range(90)
    ]
    answer = await place(*((one["id"], 1000) for one in made))
    assert answer.status_code == 201
    assert answer.json()["total"]["amount"] == 90 * 1000 * 10**11 < 2**53


async def test_an_order_beyond_the_largest_amount_is_refused_and_takes_no_stock(
    client, product, place
):
    made = [
        await product(f"P{n}", stock=1000, price={"amount": 10**11, "currency": "EUR"})
        for n in range(100)
    ]
    answer = await place(*((one["id"], 1000) for one in made))
    assert answer.status_code == 422
    assert problem_kind(answer) == "total-too-large"
    assert (await client.get(f"{PRODUCTS}/{made[0]['id']}")).json()["stock"] == 1000


async def test_a_later_price_does_not_change_an_order(client, product, place, customer, db):
    made = await product()
    order = (await place((made["id"], 1))).json()
    await db.execute("UPDATE products SET price_amount = 1, name = 'Renamed'")
    read = await client.get(f"{ORDERS}/{order['id']}", headers=customer)
    assert read.json() == order


async def test_more_than_the_stock_is_refused_and_each_short_line_is_named(
    client, product, place, events
):
    made = [await product(f"P{n}", stock=n) for n in range(3)]
    answer = await place((made[2]["id"], 2), (made[1]["id"], 2), (made[0]["id"], 1))
    assert answer.status_code == 409
    assert problem_kind(answer) == "out-of-stock"
    assert pointers_of(answer) == ["#/items/1/quantity", "#/items/2/quantity"]
    assert "only 1 are left" in answer.json()["errors"][0]["detail"]
    read = (await client.get(f"{PRODUCTS}/{made[2]['id']}")).json()
    assert (read["stock"], read["version"]) == (2, 1), "nothing was taken of what there was"
    assert await events("order.placed.v1") == []
    assert len(await events("product.stock_changed.v1")) == 3


async def test_unknown_products_are_pointed_to(product, place):
    made = await product()
    answer = await place((str(uuid4()), 1), (made["id"], 1), (str(new_id()), 1))
    assert answer.status_code == 422
    assert problem_kind(answer) == "unknown-product"
    assert pointers_of(answer) == ["#/items/0/product_id", "#/items/2/product_id"]


async def test_products_of_two_currencies_are_pointed_to(product, place):
    euro = await product("A")
    pound = await product("B", price={"amount": 1, "currency": "GBP"})
    answer = await place((euro["id"], 1), (pound["id"], 1))
    assert answer.status_code == 422
    assert problem_kind(answer) == "mixed-currencies"
    assert pointers_of(answer) == ["#/items/1/product_id"]


async def test_each_double_of_a_product_is_pointed_to(product, place):
    one, two = await product("A"), await product("B")
    answer = await place(
        (one["id"], 1), (two["id"], 1), (one["id"], 2), (two["id"].upper(), 1), (one["id"], 1)
    )
    assert answer.status_code == 422
    assert problem_kind(answer) == "duplicate-product"
    assert pointers_of(answer) == [f"#/items/{index}/product_id" for index in (2, 3, 4)]


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([], "#/items"),
        ([{"product_id": str(uuid4()), "quantity": 1}] * 101, "#/items"),
        ([{"product_id": str(uuid4()), "quantity": 0}], "#/items/0/quantity"),
        ([{"product_id": str(uuid4()), "quantity": 1001}], "#/items/0/quantity"),
        ([{"product_id": str(uuid4()), "quantity": "1"}], "#/items/0/quantity"),
        ([{"product_id": str(uuid4()), "quantity": 1.0}], "#/items/0/quantity"),
        ([{"product_id": "one", "quantity": 1}], "#/items/0/product_id"),
        ([{"product_id": str(uuid4())}], "#/items/0/quantity"),
        (
            [{"product_id": str(uuid4()), "quantity": 1, "unit_price": 1}],
            "#/items/0/unit_price",
        ),
        ({}, "#/items"),
    ],
)
async def test_a_bad_line_is_pointed_to(client, customer, items, pointer):
    answer = await client.post(ORDERS, json=body_of() | {"items": items}, headers=keyed(customer))
    assert answer.status_code == 422
    assert problem_kind(answer) == "validation-failed"
    assert pointers_of(answer) == [pointer]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "name"),
        ({"line1": "x" * 201}, "line1"),
        ({"line2": ""}, "line2"),
        ({"city": None}, "city"),
        ({"postal_code": "x" * 21}, "postal_code"),
        ({"country": "gb"}, "country"),
        ({"country": "GBR"}, "country"),
        ({"country": "ZZ"}, "country"),
        ({"planet": "Earth"}, "planet"),
    ],
)
async def test_a_bad_address_is_pointed_to(place, change, pointer):
    answer = await place((str(uuid4()), 1), **change)
    assert answer.status_code == 422
    assert pointers_of(answer) == [f"#/shipping_address/{pointer}"]


async def test_an_address_needs_no_second_line(client, product, customer):
    made = await product()
    body = body_of((made["id"], 1))
    del body["shipping_address"]["line2"]
    answer = await client.post(ORDERS, json=body, headers=keyed(customer))
    assert answer.status_code == 201
    assert answer.json()["shipping_address"]["line2"] is None


async def test_nobody_orders_without_a_token(client):
    answer = await client.post(ORDERS, json=body_of((str(uuid4()), 1)))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_nobody_orders_without_the_scope(place, caller):
    answer = await place((str(uuid4()), 1), headers=caller(scopes=["orders:read"]))
    assert answer.status_code == 403
    assert problem_kind(answer) == "insufficient-scope"


async def test_a_deactivated_customer_orders_nothing(product, place, caller, db):
    made, customer_id = await product(), new_id()
    await db.execute(
        "INSERT INTO customers (id, is_active, version) VALUES ($1, false, 3)", customer_id
    )
    answer = await place((made["id"], 1), headers=caller(customer_id))
    assert answer.status_code == 403
    assert problem_kind(answer) == "customer-inactive"


async def test_a_first_order_makes_its_customer_known(product, place, caller, db):
    made, customer_id = await product(), new_id()
    assert (await place((made["id"], 1), headers=caller(customer_id))).status_code == 201
    row = await db.fetchrow("SELECT is_active, version FROM customers WHERE id = $1", customer_id)
    assert tuple(row) == (True, 0)


@pytest.mark.parametrize("content", [b"{", b'{"items": [}', b"\xff\xfe", b"{'a': 1}"])
async def test_malformed_json_is_400(client, customer, content):
    headers = {**customer, "Content-Type": "application/json"}
    answer = await client.post(ORDERS, content=content, headers=headers)
    assert answer.status_code == 400
    assert problem_kind(answer) == "malformed-request"


async def test_a_body_over_the_limit_is_413(client, customer):
    headers = {**customer, "Content-Type": "application/json"}
    answer = await client.post(ORDERS, content=b" " * (1024 * 1024 + 1), headers=headers)
    assert answer.status_code == 413
    problem_kind(answer)


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {"Content-Type": "text/xml"}],
)
async def test_another_content_type_or_an_encoding_is_415(client, customer, headers):
    sent = {"Content-Type": "application/json", **customer, **headers}
    answer = await client.post(ORDERS, content=b"{}", headers=sent)
    assert answer.status_code == 415
    problem_kind(answer)
