"""The orders process dies after its COMMIT was sent, before the customer has an answer."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from client import ProblemError, Retries, SlipwayClient
from testkit.waiting import until

from .conftest import Customer, first_success

# The COMMIT itself waits, as on a disk that is slow: a deferred trigger runs within it.
SLOW_COMMIT = """
    CREATE FUNCTION orders.wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(31); RETURN NEW; END';
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON orders.orders
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION orders.wait()
"""
WAITING = """
    SELECT count(*) = 1 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'advisory' AND query = 'COMMIT'
"""

ORDERS_OF_ITS_CUSTOMER = """
    SELECT count(*) FROM orders.orders
    WHERE customer_id = (SELECT customer_id FROM orders.orders WHERE id = $1)
"""


@asynccontextmanager
async def slow_commits(db):
    await db.execute(SLOW_COMMIT)
    await db.execute("SELECT pg_advisory_lock(31)")
    try:
        yield
    finally:
        await db.execute("SELECT pg_advisory_unlock_all()")
        await db.execute("DROP FUNCTION orders.wait() CASCADE")


@pytest.fixture
async def db(system, postgres):
    url = urlsplit(system.process("orders").spec.environment["DATABASE_URL"])
    connection = await asyncpg.connect(postgres.url(database=url.path.removeprefix("/")))
    yield connection
    await connection.close()


@pytest.fixture
async def impatient(system, customer):
    """The customer with a client that repeats nothing by itself."""
    async with SlipwayClient(system.gateway_url, retries=Retries(attempts=1)) as client:
        yield Customer(token=customer.token, client=client)


@pytest.mark.parametrize("fate", ["committed", "rolled back"])
async def test_between_commit_and_answer_the_process_dies_and_the_repeated_request_orders_once(
    system, impatient, product, db, fate
):
    key = uuid4().hex
    before = await db.fetchval("SELECT stock FROM orders.products WHERE id = $1", product.id)
    async with slow_commits(db):
        lost = asyncio.create_task(impatient.order(product.id, key=key))
        await until(lambda: db.fetchval(WAITING))
        os.kill(system.process("orders").pid, signal.SIGKILL)
        if fate == "rolled back":
            await db.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query = 'COMMIT'"
            )
        with pytest.raises(ProblemError) as refused:
            await lost
        assert refused.value.status in {502, 503, 504}
    first = await first_success(
        lambda: impatient.order(product.id, key=key), despite={409, 502, 503, 504}, seconds=60
    )
    again = await impatient.order(product.id, key=key)
    assert again == first
    assert await db.fetchval(ORDERS_OF_ITS_CUSTOMER, first.id) == 1
    after = await db.fetchval("SELECT stock FROM orders.products WHERE id = $1", product.id)
    assert before - after == 1
