"""SQLAlchemy's session shares the unit's transaction, and leaves it to the unit."""

from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy import BigInteger, Text, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.database.unit import NotCommittedError

INSERT = "INSERT INTO ledgers VALUES ($1, $2)"
NAMES = "SELECT name FROM ledgers ORDER BY name"


class Base(DeclarativeBase):
    """The base of the test's tables."""


class Ledger(Base):
    """The tests' one table."""

    __tablename__ = "ledgers"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    sum: Mapped[int] = mapped_column(BigInteger)


async def names(ledgers):
    async with ledgers.transaction() as unit:
        return [row["name"] for row in await unit.fetch(NAMES)]


async def transaction_of(unit):
    return (await unit.fetch("SELECT pg_current_xact_id()::text AS id"))[0]["id"]


@pytest.mark.parametrize("first", ["the session", "the driver"])
async def test_both_are_in_one_transaction_whichever_comes_first(ledgers, first):
    async with ledgers.transaction() as unit:
        if first == "the driver":
            await unit.fetch("SELECT 1")
        by_session = await unit.session.scalar(text("SELECT pg_current_xact_id()::text"))
        assert await transaction_of(unit) == by_session
    async with ledgers.transaction() as unit:
        assert await transaction_of(unit) != by_session


async def test_no_session_is_opened_for_a_unit_that_does_not_ask_for_one(ledgers):
    async with ledgers.transaction() as unit:
        await unit.fetch(INSERT, "a", 1)
        assert unit.lent is None
    assert await names(ledgers) == ["a"]


async def test_a_statement_of_the_driver_sees_what_the_session_has_not_flushed_yet(ledgers):
    async with ledgers.transaction() as unit:
        unit.session.add(Ledger(name="a", sum=1))
        assert [row["name"] for row in await unit.fetch(NAMES)] == ["a"]
        found = await unit.session.get_one(Ledger, "a")
        found.sum = 2
        assert await unit.execute("UPDATE ledgers SET sum = sum + 1 WHERE sum = 2") == 1
        await unit.session.delete(found)
        assert await unit.fetch(NAMES) == []


async def test_objects_are_flushed_before_the_commit_and_keep_their_values_after_it(ledgers):
    async with ledgers.transaction() as unit:
        added = Ledger(name="a", sum=1)
        unit.session.add(added)
    assert (added.name, added.sum) == ("a", 1)
    async with ledgers.transaction() as unit:
        found = (await unit.session.scalars(select(Ledger))).one()
        found.sum = 7
    async with ledgers.transaction() as unit:
        assert (await unit.fetch("SELECT sum FROM ledgers"))[0]["sum"] == 7


async def test_a_failing_flush_at_the_end_rolls_all_back(ledgers):
    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.fetch(INSERT, "a", 1)
            unit.session.add(Ledger(name="a", sum=1))

    with pytest.raises(IntegrityError):
        await use_case()
    assert await names(ledgers) == []


@pytest.mark.parametrize("call", ["commit", "rollback", "begin_nested"])
async def test_a_session_refuses_what_belongs_to_the_unit(ledgers, call):
    async with ledgers.transaction() as unit:
        await unit.session.execute(text("SELECT 1"))
        with pytest.raises(RuntimeError, match="unit of work"):
            await getattr(unit.session, call)()


@pytest.mark.parametrize("way", ["the session", "the driver"])
async def test_between_a_failed_statement_and_the_commit_code_that_goes_on_commits_nothing(
    ledgers, way
):
    """PostgreSQL rolls back at such a COMMIT, and reports no error."""
    told = []

    async def use_case():
        async with ledgers.transaction() as unit:
            unit.after_commit(lambda: told.append("committed"))
            await unit.fetch(INSERT, "a", 1)
            with suppress(asyncpg.UniqueViolationError, IntegrityError):
                if way == "the driver":
                    await unit.fetch(INSERT, "a", 1)
                else:
                    await unit.session.execute(text("INSERT INTO ledgers VALUES ('a', 1)"))

    with pytest.raises(NotCommittedError, match="savepoint"):
        await use_case()
    assert told == []
    assert await names(ledgers) == []


async def test_a_savepoint_keeps_a_failed_statement_from_the_rest(ledgers):
    async def again(unit):
        async with unit.savepoint():
            unit.session.add(Ledger(name="dropped", sum=1))
            await unit.fetch(INSERT, "a", 1)

    async with ledgers.transaction() as unit:
        await unit.fetch(INSERT, "a", 1)
        with pytest.raises(asyncpg.UniqueViolationError):
            await again(unit)
        unit.session.add(Ledger(name="b", sum=1))
    assert await names(ledgers) == ["a", "b"]


async def test_steps_and_values_of_a_savepoint_are_gone_with_it(ledgers):
    ran = []

    async def step(_):
        ran.append("before")

    async with ledgers.transaction() as unit:
        unit.collected(int).append(1)
        with suppress(LookupError):
            async with unit.savepoint():
                unit.collected(int).append(2)
                unit.collected(str).append("a")
                unit.before_commit(step)
                unit.after_commit(lambda: ran.append("after"))
                raise LookupError
        async with unit.savepoint():
            unit.collected(int).append(3)
        assert (unit.collected(int), unit.collected(str)) == ([1, 3], [])
    assert ran == []


async def test_json_comes_out_as_python_objects_either_way(ledgers):
    async with ledgers.transaction() as unit:
        [row] = await unit.fetch("SELECT $1::jsonb AS one, $2::json AS other", '{"a": 1}', "[2]")
        by_session = await unit.session.scalar(text("""SELECT '{"a": 1}'::jsonb"""))
    assert (row["one"], row["other"], by_session) == ({"a": 1}, [2], {"a": 1})


async def test_a_unit_makes_its_only_one_once(ledgers):
    async with ledgers.transaction() as unit:
        made = [unit.only(list, lambda: ["made"]) for _ in range(2)]
        assert made[0] is made[1]
