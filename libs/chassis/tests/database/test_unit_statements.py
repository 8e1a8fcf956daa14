"""Statements past SQLAlchemy are part of the session's transaction all the same."""

import contextlib

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chassis.database import is_infrastructure_error

from .conftest import end_backends

INSERT = "INSERT INTO ledgers VALUES ($1, $2) RETURNING name"
NAMES = "SELECT name FROM ledgers ORDER BY name"


async def names(ledgers):
    async with ledgers.transaction() as unit:
        return [row["name"] for row in await unit.fetch(NAMES)]


async def insert(unit, name):
    return [row["name"] for row in await unit.fetch(INSERT, name, 1)]


async def test_they_commit_with_the_session(ledgers):
    async with ledgers.transaction() as unit:
        assert await insert(unit, "a") == ["a"]
        assert await names(ledgers) == []
        await unit.session.execute(text("INSERT INTO ledgers VALUES ('b', 1)"))
        assert [row["name"] for row in await unit.fetch(NAMES)] == ["a", "b"]
    assert await names(ledgers) == ["a", "b"]


@pytest.mark.parametrize("first", ["ours", "the session's"])
async def test_they_roll_back_with_the_session(ledgers, first):
    async def use_case():
        async with ledgers.transaction() as unit:
            if first != "ours":
                await unit.session.execute(text("SELECT 1"))
            await insert(unit, "a")
            raise LookupError

    with pytest.raises(LookupError):
        await use_case()
    assert await names(ledgers) == []


async def test_they_roll_back_with_a_savepoint(ledgers):
    async with ledgers.transaction() as unit:
        await insert(unit, "kept")
        with contextlib.suppress(LookupError):
            async with unit.savepoint():
                await insert(unit, "dropped")
                raise LookupError
        await insert(unit, "last")
    assert await names(ledgers) == ["kept", "last"]


async def test_each_of_a_readers_is_a_transaction_of_its_own(ledgers):
    async with ledgers.reading() as unit:
        one, two = [await unit.fetch("SELECT pg_current_xact_id() AS id") for _ in range(2)]
    assert one[0]["id"] != two[0]["id"]


@pytest.mark.parametrize("begun", [False, True])
async def test_the_first_tells_how_many_rows_it_changed_and_commits_with_the_others(ledgers, begun):
    async with ledgers.transaction() as unit:
        if begun:
            await unit.begin()
        assert await unit.execute_first("INSERT INTO ledgers VALUES ('a', 1), ('b', 1)") == 2
        assert await names(ledgers) == []
        assert await unit.execute("DELETE FROM ledgers WHERE name = $1", "b") == 1
    assert await names(ledgers) == ["a"]


async def test_an_error_of_the_first_between_begin_and_the_next_leaves_the_connection_usable(
    ledgers,
):
    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.execute_first("INSERT INTO ledgers VALUES ('a', 1), ('a', 1)")

    with pytest.raises(asyncpg.UniqueViolationError, match="unique"):
        await use_case()
    assert await names(ledgers) == []
    async with ledgers.transaction() as unit:
        assert await unit.execute_first("INSERT INTO ledgers VALUES ('c', 1)") == 1
    assert await names(ledgers) == ["c"]


async def test_an_error_is_asyncpgs_own_and_the_pool_goes_on(ledgers):
    async def twice():
        async with ledgers.transaction() as unit:
            await insert(unit, "a")
            await insert(unit, "a")

    with pytest.raises(asyncpg.UniqueViolationError, match="unique"):
        await twice()
    assert await names(ledgers) == []


async def test_a_lost_connection_is_known_for_what_it_is_and_replaced(ledgers, service_database):
    async def use_case():
        async with ledgers.transaction() as unit:
            await insert(unit, "a")
            assert await end_backends(service_database, "tests") == 1
            await insert(unit, "b")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - which class it has is not promised
        await use_case()
    assert is_infrastructure_error(caught.value)
    assert await names(ledgers) == []


async def limit_of(unit):
    return await unit.session.scalar(text("SHOW statement_timeout"))


async def test_a_statement_over_its_time_limit_is_cancelled(ledgers):
    with pytest.raises(TimeoutError, match=r"took over 0\.05 s") as late:
        async with ledgers.transaction() as unit, unit.time_limit(0.05):
            await unit.session.execute(text("SELECT pg_sleep(60)"))
    assert is_infrastructure_error(late.value)
    assert await names(ledgers) == [], "the connection is good"


async def test_a_time_limit_below_a_millisecond_is_one(ledgers):
    """Rounded down it would be 0, with which PostgreSQL lets a statement run for ever."""
    with pytest.raises(TimeoutError, match=r"took over 0\.0004 s"):
        async with ledgers.transaction() as unit, unit.time_limit(0.0004):
            await unit.fetch("SELECT pg_sleep(2)")


async def test_another_error_within_a_time_limit_stays_what_it_is(ledgers):
    with pytest.raises(DBAPIError, match="division by zero"):
        async with ledgers.transaction() as unit, unit.time_limit(5):
            await unit.session.execute(text("SELECT 1 / 0"))


async def test_a_time_limit_ends_with_its_transaction(ledgers):
    async with ledgers.transaction() as unit:
        before, connection = await limit_of(unit), await backend_of(unit)
        async with unit.time_limit(0.05):
            assert await limit_of(unit) == "50ms"
    async with ledgers.transaction() as unit:
        assert await backend_of(unit) == connection
        assert await limit_of(unit) == before


async def backend_of(unit):
    return await unit.session.scalar(text("SELECT pg_backend_pid()"))
