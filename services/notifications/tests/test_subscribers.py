"""What the worker does with the events of other services."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select

from chassis.database import new_id
from contracts.examples import example, has_shape_of_example
from contracts.orders import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    ProductStockChanged,
)
from contracts.users import (
    UserEmailChanged,
    UserProfileUpdated,
    UserRegistered,
    UserRolesChanged,
    UserSnapshot,
)
from notifications.recipients.models import Recipient


async def counted(db):
    """Count notifications, feed entries and outbox rows."""
    tables = ("notifications", "feed_entries", "outbox")
    return tuple([await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


async def test_an_order_becomes_one_notification_one_feed_item_and_one_event(consume, placed, db):
    user, event = new_id(), new_id()
    order = placed(user)
    assert await consume(order, event_id=event) == (1, None)
    row = await db.fetchrow("SELECT * FROM notifications")
    assert row["user_id"] == user
    assert (row["type"], row["event_id"], row["version"]) == ("order.placed", 1, 1)
    assert row["source_event_id"] == str(event)
    assert json.loads(row["data"]) == {
        "order_id": str(order.order_id),
        "total": order.total.model_dump(),
    }
    outgoing = await db.fetchrow("SELECT * FROM outbox")
    assert (outgoing["topic"], outgoing["key"]) == ("slipway.notifications", str(user))
    headers, payload = json.loads(outgoing["headers"]), json.loads(outgoing["payload"])
    assert headers["ce_type"] == "notification.created.v1"
    assert headers["ce_source"] == "/slipway/notifications"
    assert headers["ce_subject"] == payload["notification_id"] == str(row["id"])
    assert headers["ce_sequence"] == "1".zfill(20)
    assert payload["kind"] == "order.placed"
    assert has_shape_of_example("notification.created.v1", payload)
    assert payload["created_at"] == row["created_at"].isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("event", "title", "more"),
    [
        (OrderConfirmed, "Order confirmed", set()),
        (OrderShipped, "Order shipped", set()),
        (OrderDelivered, "Order delivered", set()),
        (OrderCancelled, "Order cancelled", {"reason"}),
        (OrderRefunded, "Order refunded", {"amount"}),
    ],
)
async def test_each_transition_of_an_order_is_one_notification(consume, db, event, title, more):
    user, order, message = new_id(), new_id(), new_id()
    happened = example(event, customer_id=user, order_id=order)
    for _ in range(2):
        assert await consume(happened, event_id=message) == (1, None)
    row = await db.fetchrow("SELECT * FROM notifications")
    assert (row["user_id"], row["type"], row["title"]) == (user, event.type[:-3], title)
    assert str(order) in row["body"]
    data = json.loads(row["data"])
    assert data.pop("order_id") == str(order)
    assert data == {name: json.loads(happened.to_json())[name] for name in more}
    assert await counted(db) == (1, 1, 1)


async def test_the_life_of_an_order_is_in_the_feed_in_its_order(consume, db):
    user, order = new_id(), new_id()
    life: list[Any] = [OrderPlaced, OrderConfirmed, OrderShipped, OrderDelivered, OrderRefunded]
    await consume(
        *(
            example(event, customer_id=user, order_id=order, version=version)
            for version, event in enumerate(life, 1)
        )
    )
    rows = await db.fetch("SELECT data ->> 'type' AS type FROM feed_entries ORDER BY event_id")
    assert [row["type"] for row in rows] == [event.type[:-3] for event in life]


async def test_the_same_message_twice_in_one_batch_or_two_notifies_once(consume, placed, db):
    order, event = placed(new_id()), new_id()
    assert await consume(order, order, event_id=event) == (2, None)
    assert await consume(order, event_id=event) == (1, None)
    assert await counted(db) == (1, 1, 1)


async def test_the_same_event_notifies_once_though_the_inbox_has_forgotten_it(consume, placed, db):
    order, event = placed(new_id()), new_id()
    await consume(order, event_id=event)
    await db.execute("DELETE FROM inbox")
    assert await consume(order, event_id=event) == (1, None)
    assert await counted(db) == (1, 1, 1)
    await consume(placed(order.customer_id))
    assert await db.fetchval("SELECT max(event_id) FROM feed_entries") == 2


async def test_the_same_event_by_two_consumers_at_once_notifies_once(consume, placed, db):
    order, event = placed(new_id()), new_id()
    results = await asyncio.gather(
        *(consume(order, event_id=event, partition=number) for number in range(4))
    )
    for number, (done, error) in enumerate(results):
        if error is not None:  # it lost the race; the consumer would try again
            assert (done, error.__class__.__name__) == (0, "IntegrityError")
            assert await consume(order, event_id=event, partition=number) == (1, None)
    assert await counted(db) == (1, 1, 1)


async def test_a_batch_of_many_orders_gives_each_user_a_feed_of_its_own(consume, placed, db):
    users = [new_id() for _ in range(50)]
    assert await consume(*(placed(users[n % 50]) for n in range(500))) == (500, None)
    assert await counted(db) == (500, 500, 500)
    rows = await db.fetch(
        "SELECT user_id, array_agg(event_id ORDER BY event_id) AS ids"
        " FROM feed_entries GROUP BY user_id"
    )
    assert {row["user_id"] for row in rows} == set(users)
    assert all(row["ids"] == list(range(1, 11)) for row in rows)
    assert (
        await db.fetchval(
            "SELECT count(*) FROM notifications AS n"
            " JOIN feed_entries AS e USING (user_id, event_id) WHERE e.data ->> 'id' = n.id::text"
        )
        == 500
    )
    assert await db.fetch("SELECT feed_seq FROM feed_heads WHERE feed_seq <> 10") == []


async def test_orders_of_one_user_keep_the_order_of_their_messages(consume, placed, db):
    user = new_id()
    orders = [placed(user) for _ in range(20)]
    await consume(*orders)
    rows = await db.fetch("SELECT data ->> 'order_id' AS id FROM notifications ORDER BY event_id")
    assert [row["id"] for row in rows] == [str(order.order_id) for order in orders]


async def test_a_changed_address_is_a_security_notification_even_to_an_unknown_user(consume, db):
    user = new_id()
    assert await consume(example(UserEmailChanged, user_id=user)) == (1, None)
    row = await db.fetchrow("SELECT * FROM notifications")
    assert (row["user_id"], row["type"]) == (user, "user.email_changed")
    assert row["title"] == "E-mail address changed"
    assert json.loads(row["data"]) == {}, "an address would be personal data in a push"


async def test_stock_and_roles_change_nothing(consume, db):
    stock = ProductStockChanged(version=1, product_id=new_id(), sku="A-1", stock=3)
    roles = UserRolesChanged(version=2, user_id=new_id(), roles=["admin"])
    assert await consume(stock, roles) == (2, None)
    assert await counted(db) == (0, 0, 0)
    assert await db.fetchval("SELECT count(*) FROM recipients") == 0
    assert await db.fetchval("SELECT count(*) FROM inbox") == 0


async def known(resources):
    async with resources.database.transaction() as unit:
        row = (await unit.session.scalars(select(Recipient))).one()
        return row.email, row.full_name, row.version


async def test_a_recipient_follows_the_account_and_older_news_never_replaces_newer(
    consume, resources
):
    user = new_id()
    registered = example(UserRegistered, user_id=user)
    await consume(registered)
    assert await known(resources) == ("ada@example.com", "Ada Lovelace", 1)
    await consume(example(UserProfileUpdated, user_id=user))
    assert await known(resources) == ("ada@example.com", "Ada King", 3)
    await consume(UserProfileUpdated(version=2, user_id=user, full_name="A. L."), registered)
    assert await known(resources) == ("ada@example.com", "Ada King", 3)


async def test_a_user_whose_registration_event_was_deleted_has_no_address(consume, resources):
    await consume(UserProfileUpdated(version=4, user_id=new_id(), full_name="Grace"))
    assert await known(resources) == (None, "Grace", 4)


async def test_a_snapshot_completes_what_is_known_of_the_same_version(consume, resources):
    user = new_id()
    await consume(UserProfileUpdated(version=4, user_id=user, full_name="Grace"))
    snapshot = example(UserSnapshot, user_id=user, version=4, email="g@example.com")
    await consume(snapshot)
    assert await known(resources) == ("g@example.com", snapshot.full_name, 4)
    await consume(example(UserSnapshot, user_id=user, version=3, full_name="Older"))
    assert await known(resources) == ("g@example.com", snapshot.full_name, 4)


async def test_hostile_names_are_kept_as_they_are(consume, resources, db):
    name = "'; DROP TABLE recipients; --\r\n<script>{{7*7}}\u202e🙂"
    await consume(UserProfileUpdated(version=1, user_id=new_id(), full_name=name))
    assert await known(resources) == (None, name, 1)
    assert await db.fetchval("SELECT count(*) FROM recipients") == 1
