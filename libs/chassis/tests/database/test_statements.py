"""Statements past SQLAlchemy are part of the session's transaction all the same."""

import asyncpg
import pytest
from sqlalchemy import text

from chassis.database import is_infrastructure_error
from chassis.database.statements import fetch

from .conftest import end_backends

INSERT = "INSERT INTO ledgers VALUES ($1, $2) RETURNING name"
NAMES = "SELECT name FROM ledgers ORDER BY name"


async def names(ledgers):
    async with ledgers.transaction() as session:
        return [row["name"] for row in await fetch(session, NAMES)]


async def insert(session, name):
    return [row["name"] for row in await fetch(session, INSERT, name, 1)]


async def test_they_commit_with_the_session(ledgers):
    async with ledgers.transaction() as session:
        assert await insert(session, "a") == ["a"]
        assert await names(ledgers) == []
        await session.execute(text("INSERT INTO ledgers VALUES ('b', 1)"))
        assert [row["name"] for row in await fetch(session, NAMES)] == ["a", "b"]
    assert await names(ledgers) == ["a", "b"]


@pytest.mark.parametrize("first", ["ours", "the session's"])
async def test_they_roll_back_with_the_session(ledgers, first):
    async def use_case():
        async with ledgers.transaction() as session:
            if first != "ours":
                await session.execute(text("SELECT 1"))
            await insert(session, "a")
            raise LookupError

    with pytest.raises(LookupError):
        await use_case()
    assert await names(ledgers) == []


async def test_they_roll_back_with_a_savepoint(ledgers):
    async with ledgers.transaction() as session:
        await insert(session, "kept")
        savepoint = await session.begin_nested()
        await insert(session, "dropped")
        await savepoint.rollback()
        await insert(session, "last")
    assert await names(ledgers) == ["kept", "last"]


async def test_a_session_that_goes_on_after_a_commit_has_its_next_connection(ledgers):
    async with ledgers.transaction() as session:
        await insert(session, "a")
        await session.commit()
        async with ledgers.transaction() as other:  # gets the connection that was returned
            await insert(session, "b")
            await session.rollback()
            await insert(other, "c")
    assert await names(ledgers) == ["a", "c"]


async def test_each_of_a_readers_is_a_transaction_of_its_own(ledgers):
    async with ledgers.reading() as session:
        one, two = [await fetch(session, "SELECT pg_current_xact_id() AS id") for _ in range(2)]
    assert one[0]["id"] != two[0]["id"]


async def test_an_error_is_asyncpgs_own_and_the_pool_goes_on(ledgers):
    async def twice():
        async with ledgers.transaction() as session:
            await insert(session, "a")
            await insert(session, "a")

    with pytest.raises(asyncpg.UniqueViolationError, match="unique"):
        await twice()
    assert await names(ledgers) == []


async def test_a_lost_connection_is_known_for_what_it_is_and_replaced(ledgers, service_database):
    async def use_case():
        async with ledgers.transaction() as session:
            await insert(session, "a")
            assert await end_backends(service_database, "tests") == 1
            await insert(session, "b")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - which class it has is not promised
        await use_case()
    assert is_infrastructure_error(caught.value)
    assert await names(ledgers) == []
