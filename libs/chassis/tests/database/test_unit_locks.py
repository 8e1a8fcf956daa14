"""An advisory lock of a unit of work holds until its transaction has ended."""

import asyncio
import time

import pytest

from testkit.waiting import until

INSERT = "INSERT INTO ledgers VALUES ($1, 1)"
WAITING = """
    SELECT count(*) AS number FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
COUNT = "SELECT count(*) AS number FROM ledgers"


@pytest.fixture
def one(pool_of_one):
    return pool_of_one(5)


@pytest.fixture
async def one_connection(ledgers, one):
    del ledgers  # its fixture empties the database
    async with one.opened() as pool:
        yield pool


async def count(unit):
    return (await unit.fetch(COUNT))[0]["number"]


@pytest.mark.parametrize("first", ["the lock", "a statement"])
async def test_between_a_lock_and_the_commit_the_next_holder_waits_and_then_sees_what_was_done(
    ledgers, first
):
    locked = asyncio.Event()
    order = []

    async def earlier():
        async with ledgers.transaction() as unit:
            await unit.lock("a")
            locked.set()
            await unit.fetch(INSERT, "x")
            await asyncio.sleep(0)
            order.append("earlier")

    async def later():
        await locked.wait()
        async with ledgers.transaction() as unit:
            if first == "a statement":
                await unit.begin()
            await unit.lock("a")
            order.append("later")
            assert await count(unit) == 1

    await asyncio.gather(earlier(), later())
    assert order == ["earlier", "later"]


@pytest.mark.parametrize("first", ["the lock", "a statement"])
async def test_a_lock_that_is_tried_is_got_once_and_again_after_the_commit_of_its_holder(
    ledgers, first
):
    async def tried():
        async with ledgers.transaction() as unit:
            if first == "a statement":
                await unit.begin()
            return await unit.try_lock("a"), await count(unit)

    async with ledgers.transaction() as holder:
        assert await holder.try_lock("a")
        assert await holder.try_lock("a")
        await holder.fetch(INSERT, "x")
        assert await tried() == (False, 0)
    assert await tried() == (True, 1)


async def test_locks_of_other_names_do_not_wait(ledgers):
    async with ledgers.transaction() as one, ledgers.transaction() as other:
        await one.lock("a")
        await other.lock("b")


async def test_a_lock_that_is_not_free_in_time_fails_and_leaves_the_pool_usable(ledgers):
    async def impatient():
        async with ledgers.transaction() as unit, unit.time_limit(0.05):
            await unit.lock("a")

    async with ledgers.transaction() as holder:
        await holder.lock("a")
        with pytest.raises(TimeoutError, match="took over"):
            await impatient()
    async with ledgers.transaction() as unit:
        await unit.lock("a")


async def test_a_rollback_releases_the_lock(ledgers):
    async def fail():
        async with ledgers.transaction() as unit:
            await unit.lock("a")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with ledgers.transaction() as unit:
        await unit.lock("a")


async def test_one_that_is_cancelled_while_it_waits_leaves_the_connection_without_a_transaction(
    one_connection, ledgers
):
    async def wait():
        async with one_connection.transaction() as unit:
            await unit.lock("a")

    async with ledgers.transaction() as holder:
        await holder.lock("a")
        waiting = asyncio.create_task(wait())
        await until(lambda: _waits(ledgers))
        waiting.cancel()
        await asyncio.wait([waiting])
        async with one_connection.transaction() as unit:
            assert await count(unit) == 0


async def _waits(ledgers):
    async with ledgers.reading() as unit:  # in a transaction the view never changes
        [row] = await unit.fetch(WAITING)
    return row["number"] > 0


async def test_between_begin_on_the_server_and_its_response_a_cancelled_unit_is_rolled_back(
    one_connection,
):
    """The statement is done by the time that it is cancelled: only its response is missing."""

    async def insert():
        async with one_connection.transaction() as unit:
            await unit.execute_first("INSERT INTO ledgers VALUES ('a', 1)")

    async with one_connection.transaction() as unit:
        await unit.fetch("SELECT 1")  # opens the connection
    inserting = asyncio.create_task(insert())
    for _ in range(3):  # it has sent the statement then, and does not know the response yet
        await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - the loop must not see the response
    inserting.cancel()
    await asyncio.wait([inserting])
    assert inserting.cancelled()
    async with one_connection.transaction() as unit:
        assert await count(unit) == 0
    async with one_connection.transaction() as unit:
        assert await count(unit) == 0
