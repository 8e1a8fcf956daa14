"""The worker: each message from Kafka takes effect once, and committed events are published."""

import pytest
from aiokafka import AIOKafkaProducer

from chassis.api import create_api
from chassis.database import new_id
from chassis.worker import create_worker
from contracts.examples import example
from contracts.users import (
    USERS,
    UserProfileUpdated,
    UserRegistered,
    UserRolesChanged,
    UserSnapshot,
)
from orders.declaration import SERVICE
from testkit.clients import client_of
from testkit.messages import record_of

from .conftest import ORDERS, PRODUCTS, body_of, keyed, until_true


def registered(user_id, version=1):
    return example(UserRegistered, user_id=user_id, version=version)


def record(event, **given):
    return record_of(event, source="/slipway/users", **given)


@pytest.fixture
def run(batches):
    """Handle messages as the worker does, without Kafka."""
    return batches.run


async def customer_of(db, user_id):
    row = await db.fetchrow("SELECT is_active, version FROM customers WHERE id = $1", user_id)
    return None if row is None else tuple(row)


async def test_a_registered_user_is_a_customer_once(run, db):
    user, message = new_id(), new_id()
    for _ in range(2):
        assert await run([record(registered(user), event_id=message)]) == (1, None)
    assert await customer_of(db, user) == (True, 1)
    assert await db.fetchval("SELECT count(*) FROM inbox") == 1
    assert await db.fetchval("SELECT count(*) FROM customers") == 1


async def test_a_customer_who_ordered_first_is_completed_by_the_event(run, db):
    user = new_id()
    await db.execute("INSERT INTO customers (id, version) VALUES ($1, 0)", user)
    assert await run([record(registered(user))]) == (1, None)
    assert await customer_of(db, user) == (True, 1)


async def test_an_older_event_never_overwrites_a_newer_one(run, db):
    user = new_id()
    await db.execute("INSERT INTO customers (id, is_active, version) VALUES ($1, false, 5)", user)
    for version in (1, 5):
        assert await run([record(registered(user, version))]) == (1, None)
        assert await customer_of(db, user) == (False, 5)
    assert await run([record(registered(user, 6))]) == (1, None)
    assert await customer_of(db, user) == (True, 6)


async def test_a_snapshot_is_learnt_unless_the_same_or_newer_is_known(run, db):
    user = new_id()
    snapshot = example(UserSnapshot, user_id=user, version=5, is_active=False)
    assert await run([record(snapshot)]) == (1, None)
    assert await customer_of(db, user) == (False, 5)
    for version in (4, 5):
        older = example(UserSnapshot, user_id=user, version=version, is_active=True)
        assert await run([record(older)]) == (1, None)
        assert await customer_of(db, user) == (False, 5)


async def test_other_news_of_a_user_changes_nothing(run, db):
    user = new_id()
    events = [
        UserProfileUpdated(version=2, user_id=user, full_name="Ada L."),
        UserRolesChanged(version=3, user_id=user, roles=["admin"]),
    ]
    records = [record(event, offset=offset) for offset, event in enumerate(events)]
    assert await run(records) == (2, None)
    assert await customer_of(db, user) is None
    assert await db.fetchval("SELECT count(*) FROM inbox") == 0


async def test_an_event_that_does_not_fit_its_contract_is_dead_and_the_valid_ones_take_effect(
    run, db
):
    user, other = new_id(), new_id()
    bad = record(registered(other), offset=1, value=b"{}")
    assert await run([record(registered(user)), bad]) == (2, None)
    assert await customer_of(db, user) == (True, 1)
    dead = await db.fetchval("SELECT array_agg(key) FROM parked_keys WHERE state = 'dead'")
    assert dead == [str(other)]


async def test_events_come_in_take_effect_and_go_out(settings, topics, tokens, db):
    await topics.create([USERS.name, "slipway.orders"])
    settings = settings.model_copy(
        update={
            "kafka_bootstrap_servers": topics.bootstrap_servers,
            "kafka_topic_prefix": topics.prefix,
        }
    )
    worker = create_worker(SERVICE, settings)
    user = new_id()
    async with (
        worker.router.lifespan_context(worker),
        client_of(create_api(SERVICE, settings)) as client,
    ):
        await produce(topics, registered(user))
        await until_true(db, "SELECT count(*) = 1 FROM customers WHERE id = $1", user)
        order = await place_order(client, tokens, user)
        messages = await topics.read("slipway.orders", 3)
        await until_true(db, "SELECT count(*) = 0 FROM outbox")
    seen = {
        (dict(message.headers)["ce_type"].decode(), int(dict(message.headers)["ce_sequence"]))
        for message in messages
    }
    assert seen == {
        ("product.stock_changed.v1", 1),
        ("product.stock_changed.v1", 2),
        ("order.placed.v1", order["version"]),
    }
    placed = next(m for m in messages if m.key == order["id"].encode())
    assert order["id"].encode() in placed.value
    assert await customer_of(db, user) == (True, 1)


async def produce(topics, event):
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(
            topics.prefix + USERS.name,
            event.to_json(),
            key=event.key.encode(),
            headers=record(event).headers,
        )
    finally:
        await producer.stop()


async def place_order(client, tokens, user):
    body = {
        "sku": "ROPE",
        "name": "Rope",
        "description": "",
        "price": {"amount": 1, "currency": "EUR"},
        "stock": 5,
    }
    made = await client.post(PRODUCTS, json=body, headers=tokens.headers(scopes=["catalog:write"]))
    headers = tokens.headers(subject=user, scopes=["orders:write"])
    answer = await client.post(ORDERS, json=body_of((made.json()["id"], 1)), headers=keyed(headers))
    assert answer.status_code == 201, answer.text
    return answer.json()
