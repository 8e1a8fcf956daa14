"""The catalogue: who may write it, who may read it, and how to search and page it."""

import asyncio
import string

import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import PRODUCTS, pointers_of

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


async def test_the_response_to_a_created_product_has_its_location_and_version(client, writer):
    answer = await client.post(PRODUCTS, json=NEW, headers=writer)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in NEW} == NEW
    assert made["version"] == 1
    assert answer.headers["etag"] == '"1"'
    read = await client.get(answer.headers["location"])
    assert read.status_code == 200
    assert read.json() == made


async def test_a_new_product_announces_all_its_facts_as_version_one(client, writer, events):
    made = (await client.post(PRODUCTS, json=NEW | {"active": False}, headers=writer)).json()
    [(sequence, data)] = await events("product.stock_changed.v1")
    facts = ("sku", "name", "description", "price", "stock", "active", "version")
    assert sequence == 1
    assert data == {"product_id": made["id"], **{fact: made[fact] for fact in facts}}


async def test_a_sku_is_taken_once_also_by_parallel_requests(client, writer, events):
    answers = await asyncio.gather(
        *(client.post(PRODUCTS, json=NEW, headers=writer) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert problem_kind(refused) == "sku-taken"
    assert len(await events("product.stock_changed.v1")) == 1


async def test_nobody_writes_without_a_token(client):
    answer = await client.post(PRODUCTS, json=NEW)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert problem_kind(answer) == "unauthenticated"


async def test_a_bad_token_gets_its_reason(client):
    answer = await client.post(PRODUCTS, json=NEW, headers={"Authorization": "Bearer x.y.z"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_nobody_writes_without_the_scope(client, customer):
    answer = await client.post(PRODUCTS, json=NEW, headers=customer)
    assert answer.status_code == 403
    assert problem_kind(answer) == "insufficient-scope"
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
    assert problem_kind(answer) == "validation-failed"
    assert pointers_of(answer) == [pointer]


async def test_a_missing_field_is_pointed_to(client, writer):
    body = {name: value for name, value in NEW.items() if name != "price"}
    answer = await client.post(PRODUCTS, json=body, headers=writer)
    assert answer.status_code == 422
    assert pointers_of(answer) == ["#/price"]


async def test_anybody_may_read_a_product_and_a_known_version_is_304(client, product):
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
    assert problem_kind(answer) == "product-not-found"


async def test_an_invalid_id_is_named(client):
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
        ("antern", []),
        ("lantern brass", ["A-1"]),
        ("lantern wool", []),
        ("brass a-1", ["A-1"]),
        ("LEINÖ", ["B_2"]),
        ("b_2", ["B_2"]),
        ("b", ["A-1", "B_2"]),
        ("100%", ["C%3"]),
        ("cotton", ["C%3"]),
        ("  lantern ", ["A-1"]),
        ("", ["A-1", "B_2", "C%3"]),
    ],
)
async def test_a_search_finds_the_products_with_all_its_words_or_their_beginnings(
    client, product, text, found
):
    await product("A-1", name="Brass lantern")
    await product("B_2", name="Leinöl")
    await product("C%3", name="Wool/cotton, 100% pure")
    answer = await client.get(PRODUCTS, params={"q": text})
    assert answer.status_code == 200
    assert [item["sku"] for item in answer.json()["items"]] == found


@pytest.mark.parametrize(
    "text",
    [
        *string.punctuation,
        string.punctuation,
        "!!",
        "lantern & !brass",
        "lantern | wool",
        "lantern <-> brass",
        "lantern <2> brass",
        "lantern:*A",
        ":*",
        "'lantern",
        "''",
        "lan''tern",
        "\\'",
        "('",
        "& |",
        "not",
        "\u20ac \u2122",
        "\u2018lantern\u2019",
        "\u3001",
        "\x01\x7f\u0085",
        "\u202elantern",
        "\U0001f469\u200d\U0001f680",
        "\u3316" * 100,
        "\ufdfa" * 100,
        "a " * 50,
        "1e5 -1 +1 .5 0x1F 12:30 a@b.example http://a.example/b?c=d",
        "'; DROP TABLE products; --",
    ],
)
async def test_an_operator_of_the_search_is_no_operator_in_a_text(client, product, text):
    """So each text finds what has its words, and no text is an error of syntax in PostgreSQL."""
    await product("A-1", name=f"Something with {text}"[:200])
    await product("Z-2", name="Zinc")
    answer = await client.get(PRODUCTS, params={"q": text})
    assert answer.status_code == 200
    assert [item["sku"] for item in answer.json()["items"]] in (["A-1"], [])


@pytest.mark.parametrize("text", [*string.punctuation, "\u20ac", "-- ;"])
async def test_a_search_without_a_word_finds_nothing(client, product, text):
    await product("A-1", name=f"Something with {text}")
    answer = await client.get(PRODUCTS, params={"q": text})
    assert answer.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("sku", ["wool/cotton", "a.example", "X-100", "1e5", "v1.2", "B_2"])
async def test_each_beginning_of_a_sku_finds_it(client, product, sku):
    """Also where PostgreSQL's parser would see a path, a host or a number."""
    await product(sku, name="Something")
    for end in range(1, len(sku) + 1):
        answer = await client.get(PRODUCTS, params={"q": sku[:end]})
        assert [item["sku"] for item in answer.json()["items"]] == [sku], sku[:end]


DECOMPOSED, COMPOSED = "Leino\u0308l", "Lein\u00f6l"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(DECOMPOSED, COMPOSED, id="NFC finds NFD"),
        pytest.param(COMPOSED, DECOMPOSED, id="NFD finds NFC"),
        pytest.param(DECOMPOSED, "LEINO\u0308L", id="in any case"),
        pytest.param("Office lamp", "o\ufb03ce", id="a ligature"),
        pytest.param("O\ufb03ce lamp", "office", id="a ligature in the name"),
        pytest.param("Lamp", "\uff2c\uff41\uff4d\uff50", id="fullwidth letters"),
        pytest.param("Lamp no\u00a07", "no 7", id="another kind of space"),
        pytest.param("Lamp", "\u3000lamp\u00a0", id="spaces around it"),
    ],
)
async def test_a_search_finds_a_text_in_each_of_its_spellings(client, product, name, text):
    await product("A-1", name=name)
    await product("B-2", name="another")
    answer = await client.get(PRODUCTS, params={"q": text})
    assert [item["sku"] for item in answer.json()["items"]] == ["A-1"]
    assert answer.json()["items"][0]["name"] == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("gross", "gro\u00df", id="no case folding, as in addresses"),
        pytest.param("anything", "\uff05", id="a fullwidth percent sign is no wildcard"),
        pytest.param("anything", "a\uff3fy", id="a fullwidth underscore is no wildcard"),
        pytest.param("gross", "gro\u200bss", id="what can't be seen is a character of a word"),
    ],
)
async def test_a_search_finds_no_other_text(client, product, name, text):
    await product("A-1", name=name)
    answer = await client.get(PRODUCTS, params={"q": text})
    assert answer.status_code == 200
    assert answer.json()["items"] == []


@pytest.mark.parametrize("sent", ["%ED%A0%80", "a%ED%B0%80", "%FF", "a%00b", "%EF%BF%BD"])
async def test_a_search_for_what_is_no_text_is_refused(client, sent):
    """A lone surrogate, a byte that is not UTF-8, U+0000."""
    answer = await client.get(f"{PRODUCTS}?q={sent}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["q"]


async def test_repeated_parameters_make_no_long_link(client, product):
    """The gateway's client limits a header field, so a copied query would become a 502 there."""
    for sku in ("A", "B"):
        await product(sku)
    answer = await client.get(f"{PRODUCTS}?" + "&".join(["limit=1"] * 1100))
    assert answer.status_code == 200
    url = answer.links["next"]["url"]
    assert url.count("limit=1") == 1
    assert len(url) < 300
    assert [item["sku"] for item in (await client.get(url)).json()["items"]] == ["B"]


async def test_a_search_is_kept_on_the_next_page(client, product):
    for sku in ("X1", "Y1", "X2"):
        await product(sku)
    first = await client.get(PRODUCTS, params={"q": "x", "limit": 1})
    second = await client.get(first.links["next"]["url"])
    assert [item["sku"] for item in second.json()["items"]] == ["X2"]
    assert second.json()["next_cursor"] is None


async def test_a_search_that_takes_long_is_stopped_in_the_database(client, product, owner):
    """Its cost grows with the catalogue, and anybody may search. Only a plain list has an index."""
    await product("A-1")
    async with owner.transaction():
        await owner.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        searching = asyncio.create_task(client.get(PRODUCTS, params={"q": "a"}))
        answer = await searching
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE relation = 'products'::regclass AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert await owner.fetchval(waiting) == 0, "nobody works on it any more"
    assert answer.status_code == 503
    assert problem_kind(answer) == "search-too-slow"
    assert int(answer.headers["retry-after"]) >= 1
    again = await client.get(PRODUCTS, params={"q": "a"})
    assert [item["sku"] for item in again.json()["items"]] == ["A-1"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": "1_0"}, "limit"),
        ({"limit": "\u0661"}, "limit"),
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


async def test_products_are_read_by_their_ids_also_inactive_ones(client, writer):
    made = [
        (await client.post(PRODUCTS, json=NEW | {"sku": sku}, headers=writer)).json()["id"]
        for sku in ("A", "B", "C")
    ]
    inactive = f"{PRODUCTS}/{made[1]}"
    await client.patch(inactive, json={"active": False}, headers={**writer, "If-Match": '"1"'})
    wanted = [made[2], made[1], str(new_id())]
    answer = await client.get(PRODUCTS, params={"ids": wanted})
    assert [one["id"] for one in answer.json()["items"]] == [made[1], made[2]]
    assert answer.headers["cache-control"].startswith("public")
    words = await client.get(PRODUCTS, params={"ids": wanted, "q": "nothing"})
    assert words.json()["items"] == []


async def test_a_page_of_ids_is_continued_by_its_link(client, writer):
    made = [
        (await client.post(PRODUCTS, json=NEW | {"sku": sku}, headers=writer)).json()["id"]
        for sku in ("A", "B", "C")
    ]
    first = await client.get(PRODUCTS, params={"ids": made, "limit": 2})
    rest = await client.get(first.links["next"]["url"])
    assert [one["id"] for one in first.json()["items"] + rest.json()["items"]] == made


@pytest.mark.parametrize("ids", [["x"], [""], [str(new_id()) for _ in range(101)]])
async def test_ids_that_are_none_or_too_many_are_refused(client, ids):
    answer = await client.get(PRODUCTS, params={"ids": ids})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "ids"
