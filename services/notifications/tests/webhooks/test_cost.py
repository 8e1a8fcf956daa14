"""What deliveries cost: their statements, and an index for each of them."""

from datetime import timedelta

import pytest

from chassis.paging import PageRequest, TimePosition
from notifications.deliveries import repository
from notifications.deliveries.models import WebhookState
from notifications.deliveries.repository import DeliveryRepository, read_due
from notifications.deliveries.wiring import deliveries
from testkit.plans import generic_plan
from testkit.statements import statements_in_transaction

FIRST = PageRequest[TimePosition](limit=20)
HEALTHY = WebhookState(failing_runs=0, pause=timedelta(), is_slow=False, succeeded=True)


@pytest.fixture
def sent_by(worker_resources):
    """Run a use case in a transaction; return what it sends after BEGIN and before COMMIT."""

    async def run(work):
        async with statements_in_transaction(worker_resources.database) as (unit, sent):
            await work(unit)
        return sent[:-1]

    return run


@pytest.mark.parametrize("count", [1, 50])
async def test_the_statements_of_a_run_do_not_depend_on_its_deliveries(
    webhook, notify, sent_by, db, worker_resources, count
):
    await notify(count)
    ids = [row["id"] for row in await db.fetch("SELECT id FROM deliveries")]
    results = [
        {"id": one, "state": "delivered", "delay": None, "attempt": {"status": 204}} for one in ids
    ]
    assert len(await sent_by(lambda unit: read_due(unit, webhook["id"], limit=200))) == 1
    async with worker_resources.database.reading() as statements:
        found = await read_due(statements, webhook["id"], limit=200)
    assert found is not None
    target = found[0]
    record = await sent_by(lambda unit: DeliveryRepository(unit).record(target, results, HEALTHY))
    assert len(record) == 1
    assert await db.fetchval("SELECT count(*) FROM deliveries WHERE state = 'delivered'") == count


async def test_the_statements_of_a_list_a_test_call_and_a_redelivery(
    webhook, notify, user, sent_by, worker_resources, db
):
    await notify()
    one = await db.fetchval("SELECT id FROM deliveries")

    def of(call):
        return lambda unit: call(deliveries(worker_resources, unit))

    mine = {"user_id": user}
    assert len(await sent_by(of(lambda its: its.page(webhook["id"], FIRST, **mine)))) == 2
    assert len(await sent_by(of(lambda its: its.test(webhook["id"], **mine)))) == 4
    again = of(lambda its: its.redeliver(one, webhook_id=webhook["id"], **mine))
    assert len(await sent_by(again)) == 4


@pytest.fixture
def many(owner, database):
    """Store webhooks with deliveries: most are settled, and one in a thousand waits."""
    del database  # it empties the tables before, but leaves what their deleted rows occupied

    async def store(count):
        await owner.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
        # A swollen index would cost more than to read all of a table that has a thousand rows.
        await owner.execute("TRUNCATE webhooks CASCADE")
        await owner.execute(
            "INSERT INTO webhooks (id, user_id, url, description, types, secret)"
            " SELECT uuidv7(), uuidv7(), 'https://example.com', '', '{}', ''"
            " FROM generate_series(1, 1000)"
        )
        await owner.execute(
            "INSERT INTO deliveries (id, webhook_id, user_id, source_event_id, type, payload,"
            " state, next_attempt_at, settled_at, deadline, created_at)"
            " SELECT uuidv7(), w.id, w.user_id, n::text, 'order.placed', '{}',"
            " CASE WHEN n % 1000 = w.place THEN 'waiting' ELSE 'delivered' END,"
            " CASE WHEN n % 1000 = w.place THEN now() END,"
            " CASE WHEN n % 1000 <> w.place THEN now() END,"
            " now(), now() - n * interval '1 second'"
            " FROM (SELECT *, row_number() OVER (ORDER BY id) AS place FROM webhooks) AS w,"
            " generate_series(1, $1::int) AS n",
            count // 1000,
        )
        await owner.execute("ANALYZE webhooks")
        await owner.execute("ANALYZE deliveries")
        return await owner.fetchval("SELECT id FROM webhooks ORDER BY id LIMIT 1")

    return store


@pytest.fixture
def plan_of(db):
    """Return the generic plan of a statement, which must not read the whole table."""

    async def explain(sql):
        plan = await generic_plan(db, sql)
        assert "Seq Scan on deliveries" not in plan, plan
        return plan

    return explain


@pytest.mark.parametrize("count", [30_000, pytest.param(300_000, marks=pytest.mark.slow)])
async def test_each_statement_of_many_deliveries_reads_an_index(count, many, plan_of, sent_by):
    webhook_id = await many(count)
    page = await sent_by(lambda unit: DeliveryRepository(unit).page(webhook_id, FIRST))
    listed = await plan_of(page[0])
    assert "ix_deliveries_webhook_id_created_at_id" in listed
    assert "Sort" not in listed, listed
    for sql in (repository._DUE, repository._NEXT, repository._FAIL_WAITING):
        assert "ix_deliveries_waiting" in await plan_of(sql)
    for sql in (repository._OF_USER, repository._ERASE_OF_USER):
        assert "ix_deliveries_user_id" in await plan_of(sql)
    await plan_of(repository._ERASE_OF_WEBHOOK)
    await plan_of(repository._RECORD)
    assert "ix_webhooks_user_id_created_at_id" in await plan_of(repository._ENQUEUE)
