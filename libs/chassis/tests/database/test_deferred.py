"""Deferred statements: one round trip at the end of the transaction, with the effect of all."""

import asyncpg
import pytest

from chassis.database.deferred import Deferred, as_one

INSERT = "INSERT INTO ledgers VALUES ($1, $2)"
NAMES = "SELECT name FROM ledgers ORDER BY name"


async def names(ledgers):
    async with ledgers.reading() as statements:
        return [row["name"] for row in await statements.fetch(NAMES)]


def test_one_statement_stays_as_it_is():
    assert as_one([Deferred("DELETE FROM a WHERE b = $1", (7,))]) == (
        "DELETE FROM a WHERE b = $1",
        [7],
    )


def test_parameters_are_numbered_through_and_keep_their_arguments():
    sql, arguments = as_one(
        [
            Deferred("INSERT INTO a VALUES ($2, $1, $2)", ("one", "two")),
            Deferred("DELETE FROM b", ()),
            Deferred("UPDATE c SET d = $1", (3,)),
        ]
    )
    assert sql == (
        "WITH write_1 AS (INSERT INTO a VALUES ($2, $1, $2)), write_2 AS (DELETE FROM b) "
        "UPDATE c SET d = $3"
    )
    assert arguments == ["one", "two", 3]


def test_the_tenth_parameter_and_later_ones_are_shifted_as_numbers():
    sql, _ = as_one([Deferred("A $1", (1,)), Deferred("B $1 $10", tuple(range(10)))])
    assert sql.endswith("B $2 $11")


async def test_all_take_effect_at_the_end_in_one_statement(ledgers):
    async with ledgers.transaction() as unit:
        for number, name in enumerate("abc"):
            unit.defer(INSERT, name, number)
        assert await unit.fetch(NAMES) == []
    assert await names(ledgers) == ["a", "b", "c"]


async def test_an_error_of_one_rolls_all_back(ledgers):
    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.fetch(INSERT, "before", 1)
            unit.defer(INSERT, "a", 1)
            unit.defer(INSERT, "before", 2)

    with pytest.raises(asyncpg.UniqueViolationError):
        await use_case()
    assert await names(ledgers) == []


async def test_those_of_a_savepoint_are_gone_with_it(ledgers):
    async def fail(unit):
        async with unit.savepoint():
            unit.defer(INSERT, "b", 1)
            raise LookupError

    async with ledgers.transaction() as unit:
        unit.defer(INSERT, "a", 1)
        with pytest.raises(LookupError):
            await fail(unit)
    assert await names(ledgers) == ["a"]


async def test_those_that_ran_in_a_savepoint_are_undone_with_it_and_earlier_ones_run_again(ledgers):
    async def fail(unit):
        async with unit.savepoint():
            unit.defer(INSERT, "b", 1)
            await unit.run_deferred()
            unit.defer(INSERT, "c", 1)
            raise LookupError

    async with ledgers.transaction() as unit:
        unit.defer(INSERT, "a", 1)
        with pytest.raises(LookupError):
            await fail(unit)
    assert await names(ledgers) == ["a"]


async def test_those_that_a_step_before_the_commit_defers_run_too(ledgers):
    async def step(unit):
        unit.defer(INSERT, "b", 1)

    async with ledgers.transaction() as unit:
        unit.before_commit(step)
        unit.defer(INSERT, "a", 1)
    assert await names(ledgers) == ["a", "b"]
