"""The life cycle of an order: which transitions are made, by whom, and what each leaves behind."""

from itertools import product as pairs

import pytest

from chassis.database import new_id
from orders.orders.models import TRANSITIONS, OrderStatus, life_cycle
from testkit.problems import problem_kind

from .conftest import ORDERS, PRODUCTS, keyed

VERBS = {rule.verb: rule for rule in TRANSITIONS.values()}
PATH_TO = {
    "placed": [],
    "confirmed": ["confirm"],
    "shipped": ["confirm", "ship"],
    "delivered": ["confirm", "ship", "deliver"],
    "cancelled": ["cancel"],
    "refunded": ["confirm", "ship", "deliver", "refund"],
}


@pytest.fixture
def advance(client, support):
    """Make transitions of an order, and return the last response."""

    async def post(order_id, *verbs, headers=None, **more):
        sent = {"headers": headers or support, **more}
        answers = [await client.post(f"{ORDERS}/{order_id}/{verb}", **sent) for verb in verbs]
        return answers[-1]

    return post


@pytest.fixture
def placed(product, place):
    """Place an order of three pieces of a new product with a stock of ten."""

    async def make(**given):
        made = await product(f"S-{new_id()}", stock=10)
        answer = await place((made["id"], 3), **given)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make


async def stock_of(client, order):
    read = (await client.get(f"{PRODUCTS}/{order['items'][0]['product_id']}")).json()
    return read["stock"], read["version"]


@pytest.mark.parametrize(("status", "verb"), list(pairs(PATH_TO, VERBS)))
async def test_a_transition_is_made_exactly_if_the_table_has_it(
    client, advance, placed, status, verb, events
):
    order, rule = await placed(), VERBS[verb]
    if PATH_TO[status]:
        await advance(order["id"], *PATH_TO[status])
    before = len(await events(f"order.{rule.target}.v1"))
    stock = await stock_of(client, order)
    answer = await advance(order["id"], verb)
    version = 1 + len(PATH_TO[status])
    if status in rule.sources:
        assert answer.status_code == 200, answer.text
        changed = answer.json()
        assert (changed["status"], changed["version"]) == (rule.target, version + 1)
        assert answer.headers["etag"] == f'"{version + 1}"'
        unchanged = {"status", "version", "updated_at"}
        assert {k: v for k, v in changed.items() if k not in unchanged} == {
            k: v for k, v in order.items() if k not in unchanged
        }
        [*_, (sequence, event)] = await events(f"order.{rule.target}.v1")
        assert sequence == event["version"] == version + 1
        assert (event["order_id"], event[f"{rule.target}_at"]) == (
            order["id"],
            changed["updated_at"],
        )
    else:
        assert answer.status_code == 409
        assert problem_kind(answer) == "invalid-transition"
        problem = answer.json()
        assert (problem["from"], problem["to"]) == (status, rule.target)
        assert status in problem["detail"]
        assert rule.target in problem["detail"]
        assert len(await events(f"order.{rule.target}.v1")) == before
        assert await stock_of(client, order) == stock


async def test_a_cancelled_order_gives_its_stock_back_once(client, product, place, advance, events):
    made = [await product(f"P{n}", stock=10) for n in range(3)]
    order = (await place(*((one["id"], n + 1) for n, one in enumerate(made)))).json()
    assert (await advance(order["id"], "cancel")).status_code == 200
    for one in made:
        read = (await client.get(f"{PRODUCTS}/{one['id']}")).json()
        assert (read["stock"], read["version"]) == (10, 3)
    announced = {
        data["product_id"]: (sequence, data["stock"])
        for sequence, data in await events("product.stock_changed.v1")
    }
    assert announced == {one["id"]: (3, 10) for one in made}
    assert (await advance(order["id"], "cancel")).status_code == 409
    assert await stock_of(client, order) == (10, 3)


async def test_a_refund_pays_the_total_back_and_returns_no_stock(client, placed, advance, events):
    order = await placed()
    await advance(order["id"], *PATH_TO["refunded"])
    [(_, refunded)] = await events("order.refunded.v1")
    assert refunded["amount"] == order["total"]
    assert await stock_of(client, order) == (7, 2)


async def test_the_history_says_who_when_and_why(client, customer, support, placed, advance):
    order = await placed()
    await advance(order["id"], "confirm", headers=support)
    await advance(order["id"], "cancel", headers=customer, json={"reason": "Too late."})
    answer = await client.get(f"{ORDERS}/{order['id']}/history", headers=customer)
    assert answer.status_code == 200
    entries = answer.json()["items"]
    assert [(entry["version"], entry["status"], entry["reason"]) for entry in entries] == [
        (1, "placed", None),
        (2, "confirmed", None),
        (3, "cancelled", "Too late."),
    ]
    who = [entry["actor"]["id"] for entry in entries]
    assert {entry["actor"]["kind"] for entry in entries} == {"user"}
    assert who[0] == who[2] != who[1]
    assert entries[0]["at"] == order["created_at"]
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    read = (await client.get(f"{ORDERS}/{order['id']}", headers=customer)).json()
    assert "history" not in read
    assert read["updated_at"] == entries[2]["at"]


@pytest.mark.parametrize(("by", "cause"), [("customer", "customer"), ("support", "support")])
async def test_a_cancellation_says_whether_the_customer_or_support_asked_for_it(
    client, request, placed, advance, events, by, cause
):
    order, headers = await placed(), request.getfixturevalue(by)
    await advance(order["id"], "cancel", headers=headers)
    [(_, event)] = await events("order.cancelled.v1")
    assert event["reason"] == cause
    history = await client.get(f"{ORDERS}/{order['id']}/history", headers=headers)
    assert history.json()["items"][-1]["reason"] == cause


async def test_anothers_order_can_be_neither_cancelled_nor_its_history_read(
    client, caller, placed, advance, db
):
    order, other = await placed(), caller()
    answers = [
        await advance(order["id"], "cancel", headers=other),
        await advance(new_id(), "cancel", headers=other),
        await client.get(f"{ORDERS}/{order['id']}/history", headers=other),
        await client.get(f"{ORDERS}/{new_id()}/history", headers=other),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert {problem_kind(answer) for answer in answers} == {"order-not-found"}
    assert await db.fetchval("SELECT status FROM orders") == "placed"


@pytest.mark.parametrize("verb", ["confirm", "ship", "deliver", "refund", "cancel"])
async def test_a_transition_needs_the_scope(placed, advance, caller, customer, verb):
    order = await placed()
    headers = caller(scopes=["orders:read"]) if verb == "cancel" else customer
    answer = await advance(order["id"], verb, headers=headers)
    assert answer.status_code == 403
    assert problem_kind(answer) == "insufficient-scope"


async def test_support_reads_anybodys_history(client, placed, support):
    order = await placed()
    answer = await client.get(f"{ORDERS}/{order['id']}/history", headers=support)
    assert [entry["status"] for entry in answer.json()["items"]] == ["placed"]


async def test_an_order_without_history_has_an_empty_one(client, placed, customer, db):
    """A release without the table may place orders while the next one is rolled out."""
    order = await placed()
    await db.execute("DELETE FROM order_history")
    answer = await client.get(f"{ORDERS}/{order['id']}/history", headers=customer)
    assert (answer.status_code, answer.json()) == (200, {"items": []})


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("If-Match", '"1"', 200),
        ("If-Match", '"9", "1"', 200),
        ("If-Match", "*", 200),
        ("If-Match", '"2"', 412),
        ("If-Match", 'W/"1"', 412),
        ("If-None-Match", '"1"', 412),
    ],
)
async def test_a_transition_is_made_only_at_the_version_that_the_caller_saw(
    client, support, placed, field, value, status
):
    order = await placed()
    headers = {**support, field: value}
    answer = await client.post(f"{ORDERS}/{order['id']}/confirm", headers=headers)
    assert answer.status_code == status
    if status == 412:
        assert problem_kind(answer) == "precondition-failed"


async def test_a_repeated_key_gets_the_same_response_and_changes_nothing(
    client, support, placed, events
):
    order, headers = await placed(), keyed(support)
    first = await client.post(f"{ORDERS}/{order['id']}/confirm", headers=headers)
    again = await client.post(f"{ORDERS}/{order['id']}/confirm", headers=headers)
    assert first.status_code == again.status_code == 200
    assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])
    assert len(await events("order.confirmed.v1")) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 200),
        ({"headers": {"Content-Type": "application/json"}}, 200),
        ({"json": {}}, 200),
        ({"json": {"reason": None}}, 200),
        ({"json": {"reason": "x" * 500}}, 200),
        ({"json": {"reason": "x" * 501}}, 422),
        ({"json": {"reason": ""}}, 422),
        ({"json": {"why": "x"}}, 422),
        ({"content": b"reason=x"}, 415),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
async def test_a_reason_is_optional_and_so_is_the_body(client, customer, placed, sent, status):
    order = await placed()
    headers = {**customer, **sent.get("headers", {})}
    rest = {name: value for name, value in sent.items() if name != "headers"}
    answer = await client.post(f"{ORDERS}/{order['id']}/cancel", headers=headers, **rest)
    assert answer.status_code == status, answer.text


def test_each_status_but_the_first_is_reached_by_one_transition():
    assert set(TRANSITIONS) == set(OrderStatus) - {OrderStatus.PLACED}


async def test_the_document_holds_the_table(client):
    document = (await client.get("/openapi.json")).json()
    text = document["paths"][f"{ORDERS}/transitions"]["post"]["description"]
    assert life_cycle() in text
    assert "| cancel | `placed` or `confirmed` | `cancelled` | returns |" in text
    cancel = document["paths"][f"{ORDERS}/{{order_id}}/cancel"]["post"]["description"]
    assert "from `placed` or `confirmed` to `cancelled`" in cancel
