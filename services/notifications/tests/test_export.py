"""The notifications' part of the export of a person's data."""

import json

import pytest

from chassis.api import create_api
from chassis.database import new_id
from contracts.examples import example
from contracts.orders import OrderConfirmed
from contracts.users import UserRegistered
from notifications.declaration import SERVICE
from testkit.clients import client_of
from testkit.messages import record_of
from testkit.statements import statements_of_requests

EXPORT = "/exports/me"


@pytest.fixture
def export(client, headers):
    """Request the export of a user, and return it."""

    async def get(user):
        answer = await client.get(EXPORT, headers=headers(user))
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    return get


async def test_an_export_has_the_recipient_and_the_notifications_of_the_caller(
    client, headers, export, consume, placed
):
    user, other = new_id(), new_id()
    for one in (user, other):
        await consume(example(UserRegistered, user_id=one))
        await consume(placed(one), placed(one))
    exported = await export(user)
    [recipient] = exported["recipients"]
    assert (recipient["email"], recipient["full_name"]) == ("ada@example.com", "Ada Lovelace")
    listed = await client.get("/api/v1/notifications", headers=headers(user))
    assert exported["notifications"] == listed.json()["items"]
    assert len(exported["notifications"]) == 2
    assert exported["parked_messages"] == []


async def test_a_stranger_has_empty_lists(export):
    assert await export(new_id()) == {
        "recipients": [],
        "preferences": [],
        "notifications": [],
        "mails": [],
        "webhooks": [],
        "deliveries": [],
        "parked_messages": [],
        "jobs": [],
        "stored_responses": [],
        "audit_log": [],
    }


async def test_an_export_has_what_the_caller_has_chosen(client, headers, export):
    user = new_id()
    chosen = {"orders": {"email": False}, "locale": "de-CH"}
    path = "/api/v1/notifications/preferences"
    assert (await client.put(path, headers=headers(user), json=chosen)).status_code == 200
    [preferences] = (await export(user))["preferences"]
    assert (preferences["muted"], preferences["locale"]) == (["orders.email"], "de-CH")
    assert (await export(new_id()))["preferences"] == []


async def test_a_parked_message_about_the_users_order_is_exported(export, batches):
    user = new_id()
    event = example(OrderConfirmed, customer_id=user)
    data = json.loads(event.to_json())
    del data["confirmed_at"]
    record = record_of(event, source="/slipway/orders", value=json.dumps(data).encode())
    assert await batches.run([record]) == (1, None)
    [parked] = (await export(user))["parked_messages"]
    assert (parked["type"], parked["data"]["customer_id"]) == ("order.confirmed.v1", str(user))


async def test_more_notifications_than_a_page_are_exported_each_once(export, consume, placed):
    user = new_id()
    await consume(*(placed(user) for _ in range(250)))
    exported = [one["event_id"] for one in (await export(user))["notifications"]]
    assert exported == list(range(250, 0, -1))


@pytest.mark.parametrize("count", [0, 1, 50])
async def test_an_export_is_one_statement_for_each_list(settings, headers, consume, placed, count):
    user = new_id()
    if count:
        await consume(*(placed(user) for _ in range(count)))
    app = create_api(SERVICE, settings)
    async with client_of(app) as client:
        await client.get(EXPORT, headers=headers(user))
        async with statements_of_requests(app.state.database) as sent:
            answer = await client.get(EXPORT, headers=headers(user))
    assert len(answer.json()["notifications"]) == count
    assert len(sent) == 2 + 10 + 1  # with BEGIN, COMMIT, and the number of jobs
