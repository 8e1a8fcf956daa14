"""The orders' part of the export of a person's data, and what of it is erased with the account."""

import json

import pytest

from chassis.api import create_api
from chassis.database import new_id
from chassis.jobs import OutsideRun
from contracts.examples import example
from contracts.users import UserDeleted, UserRegistered
from orders.customers.models import CloseAccountOrders
from orders.declaration import SERVICE
from orders.transitions.jobs import close_account_orders
from testkit.clients import client_of
from testkit.messages import record_of
from testkit.problems import problem_kind
from testkit.statements import statements_of_requests

from .conftest import ADDRESS, ORDERS, body_of, keyed

EXPORT = "/exports/me"


@pytest.fixture
def export(client):
    """Request an export, and return it."""

    async def get(headers):
        answer = await client.get(EXPORT, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


@pytest.fixture
def hear(batches, worker_resources, db):
    """Handle events of accounts, and then run the jobs that this enqueued."""

    async def run(*records):
        assert await batches.run(records) == (len(records), None)
        for job in await db.fetch("DELETE FROM jobs RETURNING arguments::text"):
            arguments = CloseAccountOrders.model_validate(json.loads(job["arguments"]))
            given = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
            await close_account_orders(arguments, given)

    return run


def unreadable(user, offset):
    """Return a message of the user's key that is dead at once, and holds the user's address."""
    registered = example(UserRegistered, user_id=user, version=1)
    value = json.dumps({"user_id": str(user), "email": "ada@example.com"}).encode()
    return record_of(registered, source="/slipway/users", offset=offset, value=value)


async def test_an_export_has_the_callers_orders_with_lines_and_history(
    client, export, product, place, support, caller
):
    one, two = await product("A"), await product("B")
    mine, theirs = caller(new_id()), caller()
    first = (await place((one["id"], 2), (two["id"], 1), headers=mine)).json()
    confirmed = await client.post(f"{ORDERS}/{first['id']}/confirm", headers=support)
    second = (await place((one["id"], 1), headers=mine)).json()
    await place((one["id"], 1), headers=theirs)
    exported = (await export(mine))["orders"]
    assert [one["order"] for one in exported] == [second, confirmed.json()]
    assert exported[1]["order"]["shipping_address"] == ADDRESS
    assert len(exported[1]["order"]["items"]) == 2
    read = await client.get(f"{ORDERS}/{first['id']}/history", headers=mine)
    assert exported[1]["history"] == read.json()["items"]
    assert [entry["status"] for entry in exported[1]["history"]] == ["placed", "confirmed"]
    assert exported[1]["history"][1]["actor"] == {"kind": "user", "id": None}


async def test_an_order_without_history_is_exported(export, product, place, customer, db):
    await place(((await product())["id"], 1))
    await db.execute("DELETE FROM order_history")
    assert [one["history"] for one in (await export(customer))["orders"]] == [[]]


async def test_stored_responses_are_part_of_the_export(export, product, place, customer, caller):
    made = await product()
    placed = await place((made["id"], 1), key="mine")
    await place((made["id"], 1), key="theirs", headers=caller())
    [stored] = (await export(customer))["stored_responses"]
    assert (stored["request"], stored["idempotency_key"]) == (f"POST {ORDERS}", "mine")
    assert (stored["status"], stored["body"]) == (201, placed.json())


async def test_parked_messages_are_part_of_the_export(export, caller, batches):
    user, other = new_id(), new_id()
    records = [unreadable(user, 0), unreadable(other, 1)]
    assert await batches.run(records) == (2, None)
    [parked] = (await export(caller(user)))["parked_messages"]
    assert parked["type"] == "user.registered.v1"
    assert parked["data"] == {"user_id": str(user), "email": "<15 characters>"}


async def test_more_orders_than_a_page_are_exported_each_once(export, place, product, customer, db):
    await place(((await product())["id"], 1))
    await db.execute(
        "INSERT INTO orders (id, customer_id, status, total_amount, total_currency, version,"
        " created_at) SELECT gen_random_uuid(), customer_id, 'placed', 1, 'EUR', 1, created_at"
        " FROM orders, generate_series(1, 250)"
    )
    ids = {row["id"] for row in await db.fetch("SELECT id::text FROM orders")}
    exported = [one["order"]["id"] for one in (await export(customer))["orders"]]
    assert len(exported) == len(ids) == 251
    assert set(exported) == ids


@pytest.mark.parametrize(("orders", "lines", "statements"), [(1, 1, 8), (1, 30, 8), (5, 1, 8)])
async def test_a_page_of_orders_with_lines_and_history_is_three_statements(
    settings, tokens, orders, lines, statements
):
    """The other four are stored responses, parked messages, the audit log and jobs."""
    app = create_api(SERVICE, settings)
    user = new_id()
    clerk = tokens.headers(scopes=["catalog:write"])
    mine = tokens.headers(subject=user, scopes=["orders:read", "orders:write"])
    async with client_of(app) as client:
        products = []
        for number in range(lines):
            body = {
                "sku": f"S{number}",
                "name": "Rope",
                "description": "",
                "price": {"amount": 1, "currency": "EUR"},
                "stock": 100,
            }
            made = await client.post("/api/v1/products", json=body, headers=clerk)
            products.append(made.json()["id"])
        for _ in range(orders):
            body = body_of(*((one, 1) for one in products))
            assert (await client.post(ORDERS, json=body, headers=keyed(mine))).status_code == 201
        await client.get(EXPORT, headers=mine)
        async with statements_of_requests(app.state.database) as sent:
            answer = await client.get(EXPORT, headers=mine)
    assert len(answer.json()["orders"]) == orders
    assert len(sent) == 2 + statements  # with BEGIN and COMMIT


async def test_an_export_needs_the_scope_of_orders(client, caller):
    refused = await client.get(EXPORT, headers=caller(scopes=["orders:write"]))
    assert (refused.status_code, problem_kind(refused)) == (403, "insufficient-scope")


async def test_a_deleted_accounts_parked_messages_and_stored_responses_are_erased(
    export, caller, product, place, hear, db
):
    user, other = new_id(), new_id()
    made = await product()
    for one in (user, other):
        await place((made["id"], 1), headers=caller(one))
    deleted = record_of(example(UserDeleted, user_id=user, version=4), offset=2)
    await hear(unreadable(user, 0), unreadable(other, 1), deleted)
    left = await export(caller(user))
    assert (left["stored_responses"], left["parked_messages"]) == ([], [])
    assert [one["order"]["shipping_address"] for one in left["orders"]] == [None]
    others = await export(caller(other))
    assert len(others["stored_responses"]) == len(others["parked_messages"]) == 1
    payloads = await db.fetch("SELECT payload FROM parked_messages")
    assert not any(str(user).encode() in row["payload"] for row in payloads)
