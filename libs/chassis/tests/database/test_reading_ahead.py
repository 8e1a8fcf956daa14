"""A unit that reads ahead, and then only defers writes, is one statement without BEGIN."""

import asyncpg
import pytest

from chassis.database.reading_ahead import OutdatedReadError
from chassis.deadline import Deadline
from testkit.statements import statements_of_requests

INSERT = "INSERT INTO ledgers VALUES ($1, $2)"
SUM = "SELECT coalesce(max(sum), 0) AS sum FROM ledgers"
NAMES = "SELECT name FROM ledgers ORDER BY name"
GUARD = "pk_ledgers"


async def names(ledgers):
    async with ledgers.reading() as statements:
        return [
            row["name"] for row in await statements.fetch("SELECT name FROM ledgers ORDER BY 1")
        ]


async def read_then_insert(unit, name):
    unit.reads_ahead = True
    assert unit.may_fetch_ahead
    await unit.fetch_ahead(SUM, guard=GUARD)
    unit.defer(INSERT, name, 1)


async def test_it_is_two_round_trips(ledgers):
    async with statements_of_requests(ledgers) as sent, ledgers.transaction() as unit:
        await read_then_insert(unit, "a")
    assert sent == [SUM, INSERT]
    assert await names(ledgers) == ["a"]


async def test_a_row_that_another_transaction_wrote_meanwhile_makes_the_read_outdated(ledgers):
    ran = []

    async def outrun():
        async with ledgers.transaction() as unit:
            unit.after_commit(lambda: ran.append("after"))
            await read_then_insert(unit, "a")
            unit.defer(INSERT, "b", 1)
            async with ledgers.transaction() as other:
                await other.execute(INSERT, "a", 2)

    with pytest.raises(OutdatedReadError):
        await outrun()
    assert await names(ledgers) == ["a"]
    assert ran == []


async def test_after_an_outdated_read_the_deadlines_error_says_that_nothing_was_changed(ledgers):
    async def outdated():
        async with ledgers.transaction() as unit:
            await read_then_insert(unit, "a")
            unit.defer(INSERT, "a", 2)

    async with Deadline(seconds=None) as deadline:
        with pytest.raises(OutdatedReadError):
            await outdated()
        assert "nothing was changed" in deadline.error().detail


@pytest.mark.parametrize("begun", [False, True])
async def test_a_constraint_that_guards_no_read_is_an_error_of_its_own(ledgers, begun):
    async def twice():
        async with ledgers.transaction() as unit:
            if begun:
                await unit.begin()
            unit.defer(INSERT, "a", 1)
            unit.defer(INSERT, "a", 2)

    with pytest.raises(asyncpg.UniqueViolationError):
        await twice()
    assert await names(ledgers) == []


async def test_a_unit_whose_transaction_has_begun_can_lock_and_does_not_read_ahead(ledgers):
    async with ledgers.transaction() as unit:
        unit.reads_ahead = True
        await unit.begin()
        assert not unit.may_fetch_ahead


async def test_a_unit_reads_ahead_only_for_an_owner_that_handles_an_outdated_read(ledgers):
    async with ledgers.transaction() as unit:
        assert not unit.may_fetch_ahead


async def test_a_read_that_fails_leaves_the_pool_usable(ledgers):
    async def broken():
        async with ledgers.transaction() as unit:
            await unit.fetch_ahead("SELECT 1 / 0", guard=GUARD)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await broken()
    assert await names(ledgers) == []


async def test_statements_that_read_the_rows_of_another_run_after_it(ledgers):
    async with ledgers.transaction() as unit:
        unit.defer("INSERT INTO ledgers VALUES ('a', 1), ('b', 2) RETURNING name, sum", name="made")
        unit.defer("INSERT INTO ledgers SELECT name || name, sum FROM made")
    assert await names(ledgers) == ["a", "aa", "b", "bb"]
