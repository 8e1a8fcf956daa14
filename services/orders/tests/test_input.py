"""Every response, whatever a client sends, is one that the document describes, and never a 5xx."""

import json

import httpx
import pytest

from chassis.api import create_api
from chassis.database import new_id
from orders.declaration import SERVICE
from testkit.clients import serving
from testkit.conformance import conforms

from .conftest import ADDRESS, ORDERS, PRODUCTS, body_of, keyed

HOSTILE = {
    "SQL": "'; DROP TABLE orders; --",
    "CR and LF": "a\r\nSet-Cookie: b=c",
    "HTML": "<script>alert(1)</script>",
    "templates": "{{7*7}} ${7*7} {% raw %} %(x)s {0}",
    "U+0000": "a\0b",
    "lone surrogate": "a\ud800b",
    "right to left": "\u202eabc\u202c\u0645\u0631\u062d\u0628\u0627",
    "emoji": "\U0001f469\u200d\U0001f680 \U0001d518",
    "very long": "x" * 100_000,
    "only spaces": "   ",
    "quotes": "\"'`\\",
}
PRODUCT = {
    "sku": "A",
    "name": "Rope",
    "description": "",
    "price": {"amount": 1, "currency": "EUR"},
    "stock": 1,
}
REFUSED = ("U+0000", "lone surrogate", "very long", "only spaces")


async def send(client, path, body, headers):
    """Post JSON in ASCII, because a lone surrogate can only be sent as an escape."""
    sent = {**keyed(headers), "Content-Type": "application/json"}
    return await client.post(path, content=json.dumps(body).encode(), headers=sent)


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_address_is_kept_as_it_is_or_refused(client, product, customer, kind):
    made, text = await product(), HOSTILE[kind]
    for field in ("name", "line1", "line2", "city", "postal_code", "country"):
        body = body_of((made["id"], 1), **{field: text})
        answer = await send(client, ORDERS, body, customer)
        short = field != "postal_code" or len(text) <= 20
        fits = kind not in REFUSED and field != "country" and short
        assert answer.status_code in ({201} if fits else {400, 422}), (field, answer.text)
        if fits:
            assert answer.json()["shipping_address"] == {**ADDRESS, field: text.strip()}
            read = await client.get(answer.headers["location"], headers=customer)
            assert read.json() == answer.json()


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_product_is_kept_as_it_is_or_refused(client, tokens, kind):
    text, writer = HOSTILE[kind], tokens.headers(scopes=["catalog:write"])
    for field in ("sku", "name", "description"):
        body = {**PRODUCT, "sku": field, field: text}
        answer = await send(client, PRODUCTS, body, writer)
        if field == "sku":
            fits = text.isascii() and text.isprintable() and " " not in text and len(text) <= 64
        else:
            fits = kind not in REFUSED or (field == "description" and kind == "only spaces")
        assert answer.status_code in ({201} if fits else {400, 422}), (field, answer.text)
        if fits:
            assert answer.json()[field] == text.strip()
            assert (await client.get(answer.headers["location"])).json() == answer.json()


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_text_anywhere_else_is_refused(client, tokens, customer, kind):
    text = HOSTILE[kind]
    writer = tokens.headers(scopes=["catalog:write"])
    bodies = [
        (ORDERS, customer, body_of((text, 1))),
        (ORDERS, customer, {**body_of(), text: 1}),
        (ORDERS, customer, {"items": text, "shipping_address": text}),
        (PRODUCTS, writer, {"price": {"amount": text, "currency": text}}),
    ]
    for path, headers, body in bodies:
        answer = await send(client, path, body, headers)
        assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "lone surrogate"])
async def test_a_hostile_query_is_searched_for_or_refused(client, customer, kind):
    text = HOSTILE[kind]
    if len(text) > 1000:
        text = text[:1000]  # the server refuses longer URLs before the app sees them
    places = ((PRODUCTS, ["q", "cursor"]), (ORDERS, ["status", "cursor"]))
    for path, names in places:
        for name in names:
            answer = await client.get(path, params={name: text}, headers=customer)
            assert answer.status_code in ({200, 422} if name == "q" else {422})


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64, -1, 10**400, 1e308])
async def test_a_number_out_of_bounds_is_refused(client, product, customer, tokens, number):
    made = await product()
    answer = await send(client, ORDERS, body_of((made["id"], number)), customer)
    assert answer.status_code in {400, 422}
    body = {**PRODUCT, "stock": number}
    answer = await send(client, PRODUCTS, body, tokens.headers(scopes=["catalog:write"]))
    assert answer.status_code in {400, 422}


async def test_every_response_is_one_that_the_document_describes(settings, tokens):
    app = create_api(SERVICE, settings)
    scopes = ["orders:read", "orders:write", "orders:read-all", "catalog:write"]
    async with serving(app) as url:
        known = tokens.headers(scopes=scopes)
        assert (
            len(await conforms(app.openapi(), base_url=url, headers=known, max_examples=20)) == 18
        )
        assert len(await conforms(app.openapi(), base_url=url, max_examples=3)) == 18
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get(PRODUCTS)).status_code == 200, "it still answers"


async def test_an_unavailable_database_is_503_with_retry_after(settings, customer):
    away = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://x:y@127.0.0.1:1/z")}
    )
    app, body = create_api(SERVICE, away), body_of((str(new_id()), 1))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        for answer in (
            await client.get(PRODUCTS),
            await client.post(ORDERS, json=body, headers=keyed(customer)),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/problem+json"
