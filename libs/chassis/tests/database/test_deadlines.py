"""A deadline passes at different points of a transaction: what is committed then."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from chassis.deadline import Deadline, DeadlineExceeded

LATE = (DeadlineExceeded, TimeoutError)  # raised by a check, or by the timer
INSERT = text("INSERT INTO ledgers VALUES (:name, 1)")


@pytest.fixture
async def admin(service_database):
    connection = await asyncpg.connect(service_database.superuser_url)
    yield connection
    await connection.close()


async def names(ledgers):
    async with ledgers.transaction() as unit:
        return list(await unit.session.scalars(text("SELECT name FROM ledgers ORDER BY name")))


async def nothing_runs(admin):
    """Wait until the server runs no statement of the tests; it stops soon after a cancel."""
    while True:
        rows = await admin.fetch(
            "SELECT FROM pg_stat_activity WHERE application_name = 'tests' AND state <> 'idle'"
            " AND datname = current_database()"
        )
        if not rows:
            return
        await asyncio.sleep(0.01)


async def test_between_the_last_statement_and_commit_a_deadline_passes_that_cancelled_nothing_yet(
    ledgers,
):
    async def use_case(deadline):
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "a"})
            deadline.end_now()

    with pytest.raises(LATE):
        async with Deadline(seconds=None) as deadline:
            await use_case(deadline)
    assert await names(ledgers) == []


async def test_between_a_step_before_commit_and_commit_the_deadline_passes(ledgers):
    callbacks = []

    async def use_case(deadline):
        async def step(_):
            deadline.end_now()

        async with ledgers.transaction() as unit:
            unit.before_commit(step)
            unit.after_commit(lambda: callbacks.append("committed"))
            await unit.session.execute(INSERT, {"name": "a"})

    with pytest.raises(LATE):
        async with Deadline(seconds=None) as deadline:
            await use_case(deadline)
    assert callbacks == []
    assert await names(ledgers) == []


async def test_after_commit_was_sent_the_deadline_passes_and_all_goes_on(ledgers):
    callbacks = []
    async with Deadline(seconds=None) as deadline:
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "a"})
            unit.after_commit(lambda: callbacks.append("committed"))
            asyncio.get_running_loop().call_soon(deadline.end_now)
            # Nothing is awaited from here to COMMIT, so the call runs after the last check.
        await asyncio.sleep(0)
    assert callbacks == ["committed"]
    assert await names(ledgers) == ["a"]


@pytest.mark.parametrize("way", ["sqlalchemy", "asyncpg"])
async def test_during_a_statement_the_deadline_passes_and_the_server_runs_it_no_longer(
    ledgers, admin, way
):
    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "a"})
            if way == "asyncpg":
                await unit.fetch("SELECT pg_sleep(3600)")
            else:
                await unit.session.execute(text("SELECT pg_sleep(3600)"))

    with pytest.raises(LATE):
        async with Deadline(seconds=0.3):
            await use_case()
    await nothing_runs(admin)
    assert await names(ledgers) == []


async def test_the_next_transaction_of_a_request_has_the_deadline_and_knows_of_the_first(
    ledgers, admin
):
    async with Deadline(seconds=None) as deadline:
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "first"})
        assert "nothing was changed" not in deadline.error().detail
        deadline.end_now()
        with pytest.raises(DeadlineExceeded, match="earlier step"):
            async with ledgers.transaction() as unit:
                await unit.session.execute(INSERT, {"name": "second"})
    assert await names(ledgers) == ["first"]

    async def two():
        async with ledgers.transaction() as unit:
            await unit.session.execute(text("SELECT 1"))
        async with ledgers.transaction() as unit:
            await unit.session.execute(text("SELECT pg_sleep(3600)"))

    with pytest.raises(LATE):
        async with Deadline(seconds=0.3):
            await two()
    await nothing_runs(admin)


async def test_a_task_cancelled_after_commit_was_sent_finishes_it_and_is_cancelled_then(ledgers):
    callbacks = []

    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "a"})
            unit.after_commit(lambda: callbacks.append("committed"))
            asyncio.get_running_loop().call_soon(working.cancel)

    working = asyncio.create_task(use_case())
    await asyncio.wait([working])
    assert working.cancelled()
    assert callbacks == ["committed"]
    assert await names(ledgers) == ["a"]


async def test_after_its_release_a_deadline_has_no_effect(ledgers):
    async with Deadline(seconds=0) as deadline:
        started = asyncio.create_task(names(ledgers))  # it inherits the deadline
        deadline.release()
    assert await started == []
