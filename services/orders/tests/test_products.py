"""The catalogue: who may write it, who reads it, and how it is searched and paged."""

import asyncio

import pytest

from .conftest import PRODUCTS, kind_of, pointers_of

NEW = {
    "sku": "LANTERN",
    "name": "Brass lantern",
    "description": "Burns paraffin.",
    "price": {"amount": 5950, "currency": "EUR"},
    "stock": 7,
}


@pytest.fixture
def writer(tokens):
    return tokens.headers(scopes=["catalog:write"])


async def test_a_created_product_is_answered_with_its_place_and_version(client, writer):
    answer = await client.post(PRODUCTS, json=NEW, headers=writer)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in NEW} == NEW
    assert made["version"] == 1
    assert answer.headers["etag"] == '"1"'
    read = await client.get(answer.headers["location"])
    assert read.status_code == 200
    assert read.json() == made


async def test_a_new_product_announces_its_stock_as_version_one(client, writer, events):
    made = (await client.post(PRODUCTS, json=NEW, headers=writer)).json()
    [(sequence, data)] = await events("product.stock_changed.v1")
    assert sequence == 1
    assert data == {"version": 1, "product_id": made["id"], "sku": "LANTERN", "stock": 7}


async def test_a_sku_is_taken_once_also_by_parallel_requests(client, writer, events):
    answers = await asyncio.gather(
        *(client.post(PRODUCTS, json=NEW, headers=writer) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert kind_of(refused) == "sku-taken"
    assert len(await events("product.stock_changed.v1")) == 1


async def test_nobody_writes_without_a_token(client):
    answer = await client.post(PRODUCTS, json=NEW)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert kind_of(answer) == "unauthenticated"


async def test_a_bad_token_is_told_so(client):
    answer = await client.post(PRODUCTS, json=NEW, headers={"Authorization": "Bearer x.y.z"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_nobody_writes_without_the_scope(client, customer):
    answer = await client.post(PRODUCTS, json=NEW, headers=customer)
    assert answer.status_code == 403
    assert kind_of(answer) == "insufficient-scope"
    assert "catalog:write" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"sku": ""}, "#/sku"),
        ({"sku": "two words"}, "#/sku"),
        ({"sku": "x" * 65}, "#/sku"),
        ({"name": " "}, "#/name"),
        ({"description": "x" * 5001}, "#/description"),
        ({"price": {"amount": -1, "currency": "EUR"}}, "#/price/amount"),
        ({"price": {"amount": 10**11 + 1, "currency": "EUR"}}, "#/price/amount"),
        ({"price": {"amount": 1.5, "currency": "EUR"}}, "#/price/amount"),
        ({"price": {"amount": 1, "currency": "eur"}}, "#/price/currency"),
        ({"stock": -1}, "#/stock"),
        ({"stock": "7"}, "#/stock"),
        ({"stock": True}, "#/stock"),
        ({"stock": 10**9 + 1}, "#/stock"),
        ({"colour": "red"}, "#/colour"),
    ],
)
async def test_a_bad_field_is_pointed_to(client, writer, change, pointer):
    answer = await client.post(PRODUCTS, json=NEW | change, headers=writer)
    assert answer.status_code == 422
    assert kind_of(answer) == "validation-failed"
    assert pointers_of(answer) == [pointer]


async def test_a_missing_field_is_pointed_to(client, writer):
    body = {name: value for name, value in NEW.items() if name != "price"}
    answer = await client.post(PRODUCTS, json=body, headers=writer)
    assert answer.status_code == 422
    assert pointers_of(answer) == ["#/price"]


async def test_anybody_reads_a_product_and_is_spared_what_they_have(client, product):
    made = await product()
    answer = await client.get(f"{PRODUCTS}/{made['id']}")
    assert answer.json() == made
    tag = answer.headers["etag"]
    again = await client.get(f"{PRODUCTS}/{made['id']}", headers={"If-None-Match": f'"x", {tag}'})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag


async def test_an_order_changes_the_tag_of_its_product(client, product, place):
    made = await product(stock=5)
    assert (await place((made["id"], 2))).status_code == 201
    answer = await client.get(f"{PRODUCTS}/{made['id']}", headers={"If-None-Match": '"1"'})
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    assert answer.json()["stock"] == 3
    assert answer.json()["updated_at"] > made["updated_at"]


async def test_an_unknown_product_is_not_found(client):
    answer = await client.get(f"{PRODUCTS}/0193e3a2-5b00-7c44-9d55-1a2b3c4d5e6f")
    assert answer.status_code == 404
    assert kind_of(answer) == "product-not-found"


async def test_an_id_that_is_none_is_named(client):
    answer = await client.get(f"{PRODUCTS}/one")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "product_id"


async def test_pages_hold_every_product_once_while_new_ones_come(client, product):
    skus = [f"P{number}" for number in range(7)]
    for sku in skus[:6]:
        await product(sku)
    seen: list[str] = []
    url: str | None = f"{PRODUCTS}?limit=2"
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200
        if not seen:
            await product(skus[6])
        seen += [item["sku"] for item in answer.json()["items"]]
        following = answer.links.get("next", {}).get("url")
        assert (following is None) == (answer.json()["next_cursor"] is None)
        url = following
    assert seen == skus


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lantern", ["A-1"]),
        ("LANT", ["A-1"]),
        ("ÖL", ["B_2"]),
        ("b_2", ["B_2"]),
        ("_", ["B_2"]),
        ("%", ["C%3"]),
        ("100%", ["C%3"]),
        ("\\", []),
        ("/", []),
        ("'; DROP TABLE products; --", []),
        ("  lantern ", ["A-1"]),
        ("", ["A-1", "B_2", "C%3"]),
    ],
)
async def test_a_search_takes_its_text_literally_in_any_case(client, product, text, found):
    await product("A-1", name="Brass lantern")
    await product("B_2", name="Leinöl")
    await product("C%3", name="Wool, 100% pure")
    answer = await client.get(PRODUCTS, params={"q": text})
    assert answer.status_code == 200
    assert [item["sku"] for item in answer.json()["items"]] == found


async def test_a_search_is_kept_on_the_next_page(client, product):
    for sku in ("X1", "Y1", "X2"):
        await product(sku)
    first = await client.get(PRODUCTS, params={"q": "x", "limit": 1})
    second = await client.get(first.links["next"]["url"])
    assert [item["sku"] for item in second.json()["items"]] == ["X2"]
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "rubbish"}, "cursor"),
        ({"cursor": "eyJhdCI6IjAwMDEtMDEtMDFUMDA6MDA6MDArMTQ6MDAiLCJpZCI6IjAxOTNlM2EyLTViMDAtN2M0NC05ZDU1LTFhMmIzYzRkNWU2ZiJ9"}, "cursor"),  # noqa: E501  # year 1 in UTC+14: no time of UTC
        ({"q": "x" * 101}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_named(client, query, parameter):
    answer = await client.get(PRODUCTS, params=query)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]
