"""Jobs that cancel orders: what is not confirmed in time, and what belongs to ended accounts."""

import asyncio
import json
from datetime import timedelta

import pytest

from chassis.database import new_id
from chassis.jobs import OutsideRun
from contracts.examples import example
from contracts.users import (
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRegistered,
    UserSnapshot,
)
from orders.customers.models import CloseAccountOrders
from orders.transitions.jobs import cancel_unconfirmed, close_account_orders
from orders.transitions.models import CancelUnconfirmed
from orders.transitions.wiring import transitions
from testkit.messages import record_of

from .conftest import ORDERS, PRODUCTS, WAITING, keyed, until_true

ENDED = ["cancelled", "cancelled", "shipped", "cancelled"]  # the orders of `four`
STATUSES = "SELECT array_agg(status ORDER BY created_at, id) FROM orders"


@pytest.fixture
def sweep(worker_resources):
    """Run the periodic job once."""

    async def run():
        assert worker_resources.confirm_within == timedelta(hours=24)
        given = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
        await cancel_unconfirmed(CancelUnconfirmed(), given)

    return run


@pytest.fixture
def hear(batches, worker_resources, db):
    """Handle the events of an account, and then run the jobs that this enqueued."""

    async def run(*events):
        records = [
            record_of(event, source="/slipway/users", offset=offset)
            for offset, event in enumerate(events)
        ]
        assert await batches.run(records) == (len(events), None)
        jobs = await db.fetch(
            "DELETE FROM jobs WHERE kind = $1 RETURNING arguments::text", CloseAccountOrders.kind
        )
        for job in jobs:
            arguments = CloseAccountOrders.model_validate(json.loads(job["arguments"]))
            given = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
            await close_account_orders(arguments, given)
        return len(jobs)

    return run


@pytest.fixture
def late(product, place, db):
    """Place orders of one piece each, and make them older than the time to confirm."""

    async def make(count=1):
        made = await product(f"S-{new_id()}", stock=100)
        placed = [(await place((made["id"], 1))).json() for _ in range(count)]
        await db.execute("UPDATE orders SET created_at = created_at - interval '24 hours'")
        return made, placed

    return make


async def test_orders_that_are_not_confirmed_in_time_are_cancelled_by_the_system(
    client, customer, late, place, sweep, events, db
):
    made, [first, second] = await late(2)
    await place((made["id"], 1))  # in time
    await sweep()
    assert await db.fetchval(STATUSES) == ["cancelled", "cancelled", "placed"]
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 99
    cancelled = await events("order.cancelled.v1")
    assert [(sequence, data["order_id"], data["reason"]) for sequence, data in cancelled] == [
        (2, order["id"], "not_confirmed") for order in (first, second)
    ]
    history = await client.get(f"{ORDERS}/{first['id']}/history", headers=customer)
    entry = history.json()["items"][-1]
    assert entry["actor"] == {"kind": "system", "id": None}
    assert (entry["status"], entry["reason"]) == ("cancelled", "not_confirmed")
    await sweep()
    assert len(await events("order.cancelled.v1")) == 2


async def test_more_orders_than_a_page_are_cancelled_in_one_run(late, sweep, db):
    await late(1)
    await db.execute(
        "INSERT INTO orders (id, customer_id, status, total_amount, total_currency, version,"
        " created_at, expires) SELECT gen_random_uuid(), customer_id, 'placed', 1, 'EUR', 1,"
        " created_at, true FROM orders, generate_series(1, 230)"
    )
    await sweep()
    assert await db.fetchval("SELECT count(*) FROM orders WHERE status = 'cancelled'") == 231


async def test_an_order_that_is_confirmed_while_the_job_waits_for_it_is_not_cancelled(
    late, sweep, owner, db, events
):
    _, [order] = await late()
    async with owner.transaction():
        await owner.execute("UPDATE orders SET status = 'confirmed', version = 2")
        job = asyncio.create_task(sweep())
        await until_true(db, WAITING)
    await job
    assert await db.fetchval("SELECT status FROM orders WHERE id = $1", order["id"]) == "confirmed"
    assert await events("order.cancelled.v1") == []


async def test_a_confirmation_that_waits_for_the_job_is_refused(
    client, support, late, sweep, db, owner, events
):
    made, [order] = await late()
    async with owner.transaction():
        await owner.execute("SELECT FROM products FOR UPDATE")  # the job holds the order, and waits
        job = asyncio.create_task(sweep())
        await until_true(db, WAITING)
        confirm = asyncio.create_task(
            client.post(f"{ORDERS}/{order['id']}/confirm", headers=support)
        )
        await until_true(db, WAITING.replace("> 0", "> 1"))
    await job
    assert (await confirm).status_code == 409
    assert await events("order.confirmed.v1") == []
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 100


async def test_orders_of_a_release_that_could_confirm_none_never_expire(late, sweep, db):
    await late()
    await db.execute("UPDATE orders SET expires = false")
    await sweep()
    assert await db.fetchval("SELECT count(*) FROM orders WHERE status <> 'placed'") == 0


async def test_the_search_for_late_orders_uses_the_index(late, owner, db):
    await late()
    # Half of them were placed by a release that could confirm none.
    await db.execute(
        "INSERT INTO orders (id, customer_id, status, total_amount, total_currency, version,"
        " created_at, expires) SELECT gen_random_uuid(), customer_id,"
        " CASE WHEN n % 2 = 0 THEN 'placed' ELSE 'delivered' END, 1, 'EUR', 1,"
        " created_at - n * interval '1 second', n % 2 = 1"
        " FROM orders, generate_series(1, 20000) AS n"
    )
    await owner.execute("ANALYZE orders")
    plan = await db.fetch(
        "EXPLAIN SELECT id, version FROM orders WHERE expires AND status = 'placed'"
        " AND created_at < now() - interval '1 day' ORDER BY created_at, id LIMIT 100"
    )
    text = "\n".join(row[0] for row in plan)
    assert "ix_orders_expiring" in text
    assert "Sort" not in text


@pytest.fixture
def four(client, product, place, support, caller):
    """Place four orders of a new customer, one in each early status; return customer and orders."""

    async def make():
        user = new_id()
        headers = caller(user)
        made = await product(f"S-{new_id()}", stock=100)
        orders = [(await place((made["id"], 1), headers=headers)).json() for _ in range(4)]
        for order, verbs in zip(orders, ([], ["confirm"], ["confirm", "ship"], []), strict=True):
            for verb in verbs:
                await client.post(f"{ORDERS}/{order['id']}/{verb}", headers=support)
        await client.post(
            f"{ORDERS}/{orders[3]['id']}/cancel",
            headers=keyed(headers),
            json={"reason": "I, Ada, moved to 1 Other Street."},
        )
        return user, headers, made, orders

    return make


async def test_a_deactivated_customers_open_orders_are_cancelled(
    client, customer, place, four, hear, db, events
):
    user, headers, made, orders = await four()
    other = await place((made["id"], 1), headers=customer)
    deactivated = example(UserDeactivated, user_id=user, version=3)
    assert await hear(deactivated) == 1
    assert await db.fetchval(STATUSES) == [*ENDED, "placed"]
    assert other.status_code == 201
    reasons = {data["order_id"]: data["reason"] for _, data in await events("order.cancelled.v1")}
    assert reasons == {
        orders[0]["id"]: "customer_inactive",
        orders[1]["id"]: "customer_inactive",
        orders[3]["id"]: "customer",
    }
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 98
    assert (await place((made["id"], 1), headers=headers)).status_code == 403
    assert await hear(deactivated, example(UserRegistered, user_id=user, version=1)) == 0
    assert await db.fetchval("SELECT is_active FROM customers WHERE id = $1", user) is False
    assert len(await events("order.cancelled.v1")) == 3


async def test_a_deleted_customers_orders_are_cancelled_and_anonymised(
    client, support, four, hear, db
):
    user, _, _, orders = await four()
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys WHERE caller = $1", user) == 5
    assert await hear(example(UserDeleted, user_id=user, version=4)) == 1
    assert await db.fetchval(STATUSES) == ENDED
    assert await db.fetchval("SELECT count(*) FROM orders WHERE shipping_address IS NULL") == 4
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys WHERE caller = $1", user) == 0
    row = await db.fetchrow("SELECT is_active, is_deleted, version FROM customers")
    assert tuple(row) == (False, True, 4)
    assert await db.fetchval("SELECT count(*) FROM order_history WHERE reason ~ 'Ada'") == 0
    answer = await client.get(f"{ORDERS}/{orders[3]['id']}", headers=support)
    assert (answer.status_code, answer.json()["shipping_address"]) == (200, None)
    shipped = await client.post(f"{ORDERS}/{orders[2]['id']}/deliver", headers=support)
    assert (shipped.status_code, shipped.json()["version"]) == (200, 4)


@pytest.mark.parametrize("known", [False, True])
async def test_the_end_of_an_account_without_orders_is_stored(hear, db, known):
    user = new_id()
    before = [example(UserRegistered, user_id=user, version=1)] if known else []
    ends = [
        example(UserDeactivated, user_id=user, version=2),
        example(UserDeleted, user_id=user, version=3),
    ]
    assert await hear(*before, *ends) == 2
    row = await db.fetchrow("SELECT is_active, is_deleted, version FROM customers")
    assert tuple(row) == (False, True, 3)
    assert await hear(ends[0]) == 0
    assert await db.fetchval("SELECT is_deleted FROM customers")


async def test_an_account_that_is_active_again_when_the_job_runs_keeps_its_orders(four, hear, db):
    user, *_ = await four()
    active = example(UserSnapshot, user_id=user, version=4, is_active=True)
    assert await hear(example(UserDeactivated, user_id=user, version=3), active) == 1
    assert await db.fetchval(STATUSES) == ["placed", "confirmed", "shipped", "cancelled"]
    assert await hear(example(UserSnapshot, user_id=user, version=5, is_active=False)) == 1
    assert await db.fetchval(STATUSES) == ENDED
    assert await db.fetchval("SELECT count(*) FROM orders WHERE shipping_address IS NULL") == 0


async def test_a_reactivated_customer_orders_again_and_an_older_event_does_not_end_that(
    four, place, hear, db
):
    user, headers, made, _ = await four()
    deactivated = example(UserDeactivated, user_id=user, version=3)
    await hear(deactivated)
    assert (await place((made["id"], 1), headers=headers)).status_code == 403

    assert await hear(example(UserReactivated, user_id=user, version=4)) == 0

    assert (await place((made["id"], 1), headers=headers)).status_code == 201
    assert await db.fetchval(STATUSES) == [*ENDED, "placed"], "what was cancelled stays cancelled"
    deleted = example(UserDeleted, user_id=user, version=5)
    assert await hear(deactivated, deleted) == 1
    assert await hear(example(UserReactivated, user_id=user, version=4)) == 0
    assert (await place((made["id"], 1), headers=headers)).status_code == 403


async def test_between_the_search_and_the_lock_of_an_order_the_account_becomes_active_again(
    four, worker_resources, owner, db
):
    user, *_ = await four()
    await db.execute("UPDATE customers SET is_active = false")
    run = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
    async with owner.transaction():
        await owner.execute("UPDATE customers SET is_active = true, version = version + 1")
        job = asyncio.create_task(close_account_orders(CloseAccountOrders(customer_id=user), run))
        await until_true(db, WAITING)
    await job
    assert await db.fetchval(STATUSES) == ["placed", "confirmed", "shipped", "cancelled"]


async def test_between_the_search_and_the_erasure_the_customers_last_words_are_committed(
    four, worker_resources, owner, db
):
    """The erasure waits for the order's lock. What its holder wrote must not stay."""
    user, *_ = await four()
    await db.execute("UPDATE customers SET is_active = false, is_deleted = true")
    async with owner.transaction():
        [order] = await owner.fetch(
            "UPDATE orders SET version = version + 1 WHERE status = 'shipped' RETURNING id, version"
        )
        await owner.execute(
            "INSERT INTO order_history (order_id, version, status, actor_kind, actor_id, reason)"
            " VALUES ($1, $2, 'shipped', 'user', $3, 'Ada is back')",
            order["id"],
            order["version"],
            user,
        )
        erasing = asyncio.create_task(erase(worker_resources, user))
        await until_true(db, WAITING)
    assert await erasing == 4
    assert await db.fetchval("SELECT count(*) FROM order_history WHERE reason ~ 'Ada'") == 0


async def erase(resources, user):
    async with resources.database.transaction() as unit:
        return await transitions(resources, unit).anonymise(user, limit=100)


async def test_the_job_that_stopped_half_way_goes_on(four, hear, worker_resources, db):
    """It may be killed between two orders, or between the last one and the responses."""
    user, *_ = await four()
    await hear(example(UserDeleted, user_id=user, version=4))
    await db.execute(
        "UPDATE orders SET status = 'placed', shipping_address = '{}' WHERE id ="
        " (SELECT id FROM orders ORDER BY id LIMIT 1)"
    )
    run = OutsideRun(resources=worker_resources, job_id=1, attempt=2)
    await close_account_orders(CloseAccountOrders(customer_id=user), run)
    assert await db.fetchval(STATUSES) == ENDED
    assert await db.fetchval("SELECT count(*) FROM orders WHERE shipping_address IS NULL") == 4
