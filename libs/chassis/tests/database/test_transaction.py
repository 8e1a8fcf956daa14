"""The one place that commits: in which order it does what, and what it leaves undone."""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from chassis.database import after_commit, before_commit

INSERT = text("INSERT INTO ledgers VALUES (:name, 1)")


async def names(ledgers):
    async with ledgers.transaction() as session:
        return list(await session.scalars(text("SELECT name FROM ledgers ORDER BY name")))


async def test_steps_run_after_the_block_and_in_order_and_hints_only_after_the_commit(ledgers):
    order = []

    def step(name):
        async def run(session):
            seen = await session.scalar(text("SELECT count(*) FROM ledgers"))
            order.append(f"{name} sees {seen}")

        return run

    async with ledgers.transaction() as session:
        after_commit(session, lambda: order.append("committed"))
        before_commit(session, step("first"))
        before_commit(session, step("second"))
        await session.execute(INSERT, {"name": "a"})
        order.append("block ends")
    assert order == ["block ends", "first sees 1", "second sees 1", "committed"]


async def test_what_follows_the_commit_finds_it_visible_to_others(ledgers):
    seen = []
    async with ledgers.transaction() as session:
        await session.execute(INSERT, {"name": "a"})
        after_commit(session, lambda: seen.append(session.in_transaction()))
        assert await names(ledgers) == []
    assert seen == [False]
    assert await names(ledgers) == ["a"]


async def test_an_error_in_the_block_rolls_back_and_nothing_registered_runs(ledgers):
    ran = []

    async def step(_):
        ran.append("before")

    async def use_case():
        async with ledgers.transaction() as session:
            await session.execute(INSERT, {"name": "a"})
            before_commit(session, step)
            after_commit(session, lambda: ran.append("after"))
            raise LookupError

    with pytest.raises(LookupError):
        await use_case()
    assert ran == []
    assert await names(ledgers) == []


async def test_a_step_that_fails_rolls_back_all_and_nothing_follows(ledgers):
    ran = []

    async def fail(session):
        await session.execute(INSERT, {"name": "a"})

    async def use_case():
        async with ledgers.transaction() as session:
            after_commit(session, lambda: ran.append("after"))
            await session.execute(INSERT, {"name": "a"})
            before_commit(session, fail)

    with pytest.raises(IntegrityError):
        await use_case()
    assert ran == []
    assert await names(ledgers) == []


async def test_a_step_that_registers_another_has_it_run_in_the_same_transaction(ledgers):
    async def second(session):
        await session.execute(INSERT, {"name": "b"})

    async def first(session):
        before_commit(session, second)

    async with ledgers.transaction() as session:
        before_commit(session, first)
    assert await names(ledgers) == ["b"]


async def test_a_transaction_that_did_nothing_tells_that_it_is_done(ledgers):
    ran = []
    async with ledgers.transaction() as session:
        after_commit(session, lambda: ran.append("after"))
    assert ran == ["after"]


async def test_connections_carry_the_processes_name_and_the_time_out_of_a_statement(ledgers):
    async with ledgers.transaction() as session:
        setting = func.current_setting
        row = (
            await session.execute(
                select(setting("application_name"), setting("statement_timeout"), setting("jit"))
            )
        ).one()
    assert tuple(row) == ("tests", "10s", "off")
