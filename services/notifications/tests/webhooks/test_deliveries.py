"""From an event to the request that a receiver verifies."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from chassis.database import new_id
from chassis.jobs import OutsideRun
from notifications.deliveries.jobs import erase_deliveries, prune_deliveries
from notifications.deliveries.wiring import deliveries
from notifications.kinds.models import Category, Channel, Notice
from notifications.outcomes.jobs import prune_outcomes
from notifications.webhooks.models import EraseDeliveries
from testkit.statements import statements_in_transaction

from .receiver import status

MERGE = {"content-type": "application/merge-patch+json"}


def notice(owner, **given):
    """Return a notification to a user."""
    good = {
        "id": new_id(),
        "user_id": owner,
        "event_id": 1,
        "source_event_id": str(new_id()),
        "type": "order.placed",
        "category": Category.ORDERS,
        "channels": frozenset(Channel),
        "locale": "en",
        "title": "Order placed",
        "body": "We have received your order.",
        "data": {},
        "created_at": datetime.now(UTC),
        "traceparent": None,
    }
    return Notice(**good | given)


async def test_a_notification_arrives_signed_and_standardwebhooks_verifies_it(
    webhook, receiver, notify, dispatch, listed, db
):
    await notify()
    await dispatch()
    [call] = receiver.calls
    verified = Webhook(webhook["secret"]).verify(call.body, call.headers)
    assert verified["type"] == "order.placed"
    assert verified["data"]["event_id"] == 1
    assert verified["data"]["data"].keys() == {"order_id", "total"}
    assert call.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(call.body + b" ", call.headers)
    [delivery] = await listed(webhook)
    assert delivery["id"] == call.webhook_id
    assert (delivery["state"], delivery["next_attempt_at"]) == ("delivered", None)
    [attempt] = delivery["attempts"]
    assert (attempt["status"], attempt["error"]) == (204, None)
    types = [row["type"] for row in await db.fetch("SELECT type FROM outbox ORDER BY seq")]
    assert types == ["notification.created.v1", "notification.delivered.v1"]


async def test_after_a_rotation_both_secrets_verify_until_the_overlap_ends(
    webhook, receiver, notify, dispatch, api, db
):
    rotated = (await api("POST", f"/{webhook['id']}/secret")).json()
    assert rotated["secret"] != webhook["secret"]
    until = datetime.fromisoformat(rotated["previous_secret_until"])
    assert abs(until - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=5)
    await notify()
    await dispatch()
    await db.execute("UPDATE webhooks SET previous_secret_until = now()")
    await notify()
    await dispatch()
    both, new = receiver.calls
    for secret in (webhook["secret"], rotated["secret"]):
        assert Webhook(secret).verify(both.body, both.headers)
    assert Webhook(rotated["secret"]).verify(new.body, new.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(new.body, new.headers)


async def test_a_filter_and_a_disabled_webhook_and_other_users_get_nothing(
    create, receiver, notify, dispatch, api, db
):
    await create(f"{receiver.url}/filtered", types=["order.shipped"])
    await create(f"{receiver.url}/wanted", types=["order.placed"])
    await create(f"{receiver.url}/other", owner=new_id())
    off = await create(f"{receiver.url}/off")
    answer = await api("PATCH", f"/{off['id']}", content='{"enabled": false}', headers=MERGE)
    assert answer.json()["disabled_reason"] == "owner"
    await notify()
    await dispatch()
    assert [call.line.split()[1] for call in receiver.calls] == ["/hooks/wanted"]
    assert await db.fetchval("SELECT count(*) FROM deliveries") == 1


async def test_an_event_that_is_consumed_twice_is_delivered_once(
    webhook, receiver, user, consume, placed, dispatch, listed, db
):
    event, event_id = placed(user), str(new_id())
    for _ in range(2):
        # Neither remembers the event, so each consumption makes a notification; only the delivery
        # that was enqueued before tells that it went to the webhook already.
        await db.execute("DELETE FROM inbox")
        await db.execute("DELETE FROM notifications")
        assert await consume(event, event_id=event_id) == (1, None)
        assert await db.fetchval("SELECT count(*) FROM notifications") == 1
        await dispatch()
    [delivery] = await listed(webhook)
    assert [call.webhook_id for call in receiver.calls] == [delivery["id"]]
    assert await db.fetchval("SELECT max(event_id) FROM notifications") == 2


@pytest.mark.parametrize("number", [1, 30])
async def test_deliveries_and_jobs_of_a_batch_are_one_statement(
    number, create, receiver, worker_resources
):

    users = [new_id() for _ in range(number)]
    for owner in users:
        await create(receiver.url, owner=owner)
    async with statements_in_transaction(worker_resources.database) as (unit, sent):
        await deliveries(worker_resources, unit).enqueue([])
        await deliveries(worker_resources, unit).enqueue([notice(owner) for owner in users])
    assert len(sent) == 2  # with COMMIT


async def test_a_test_call_is_sent_whatever_the_filter_is(create, receiver, dispatch, api):
    made = await create(receiver.url, types=["order.shipped"])
    answer = await api("POST", f"/{made['id']}/test")
    assert answer.status_code == 202
    assert answer.json()["state"] == "waiting"
    await dispatch()
    [call] = receiver.calls
    assert call.webhook_id == answer.json()["id"]
    assert json.loads(call.body)["type"] == "webhook.test"


async def test_a_delivery_is_sent_again_with_the_same_id(
    webhook, receiver, notify, dispatch, api, listed
):
    await notify()
    await dispatch()
    [delivery] = await listed(webhook)
    path = f"/{webhook['id']}/deliveries/{delivery['id']}"
    answer = await api("POST", f"{path}/redeliver")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    await dispatch()
    assert receiver.ids == [delivery["id"]] * 2
    assert receiver.calls[0].body == receiver.calls[1].body
    again = (await api("GET", path)).json()
    assert (again["state"], len(again["attempts"])) == ("delivered", 2)


async def test_a_delivery_that_is_sent_again_each_month_does_not_repeat_a_version(
    webhook, notify, dispatch, api, db, worker_resources
):
    await notify()
    await dispatch()
    delivery_id = await db.fetchval("SELECT id FROM deliveries")
    for _ in range(3):
        for table, column in (("deliveries", "settled_at"), ("outcomes", "updated_at")):
            await db.execute(
                f"UPDATE {table} SET created_at = created_at - interval '29 days',"
                f" {column} = {column} - interval '29 days'"
            )
        async with worker_resources.database.transaction() as unit:
            assert await prune_deliveries(unit, 10) == 0
            await prune_outcomes(unit, 10)
        answer = await api("POST", f"/{webhook['id']}/deliveries/{delivery_id}/redeliver")
        assert answer.status_code == 202, answer.text
        await dispatch()
    rows = await db.fetch(
        "SELECT payload FROM outbox WHERE type LIKE 'notification.%' ORDER BY seq"
    )
    assert [json.loads(row["payload"])["version"] for row in rows] == [1, 2, 3, 4, 5]


async def test_nobody_else_sees_or_redelivers_a_delivery(webhook, notify, dispatch, api, listed):
    await notify()
    await dispatch()
    [delivery] = await listed(webhook)
    stranger = new_id()
    base = f"/{webhook['id']}"
    for method, path in (
        ("GET", f"{base}/deliveries"),
        ("GET", f"{base}/deliveries/{delivery['id']}"),
        ("POST", f"{base}/deliveries/{delivery['id']}/redeliver"),
        ("POST", f"{base}/test"),
    ):
        assert (await api(method, path, by=stranger)).status_code == 404


async def test_what_a_receiver_responds_is_bounded_and_shown(
    webhook, receiver, notify, dispatch, listed
):
    receiver.respond = status(500, body=b"\x00\xff" + "é".encode() * 5000)
    await notify()
    await dispatch()
    [delivery] = await listed(webhook)
    [attempt] = delivery["attempts"]
    assert attempt["status"] == 500
    assert attempt["response"] == "\ufffd\ufffd" + "é" * 498


async def test_a_deleted_webhook_leaves_no_delivery_and_no_secret(
    webhook, notify, dispatch, api, db, worker_resources
):

    await notify(2)
    assert (await api("DELETE", f"/{webhook['id']}")).status_code == 204
    assert (await api("DELETE", f"/{webhook['id']}")).status_code == 404
    await dispatch()
    assert await db.fetchval("SELECT count(*) FROM jobs WHERE kind = $1", EraseDeliveries.kind) == 1
    run = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
    await erase_deliveries(EraseDeliveries(webhook_id=UUID(webhook["id"])), run)
    for table in ("webhooks", "deliveries"):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0
