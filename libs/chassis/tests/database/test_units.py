"""The one place that commits: the order of its steps, and what it skips after a failure."""

import asyncio

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from chassis.database import Database

INSERT = text("INSERT INTO ledgers VALUES (:name, 1)")


async def names(ledgers):
    async with ledgers.transaction() as unit:
        return list(await unit.session.scalars(text("SELECT name FROM ledgers ORDER BY name")))


async def test_steps_run_after_the_block_and_in_order_and_hints_only_after_the_commit(ledgers):
    order = []

    def step(name):
        async def run(unit):
            seen = await unit.session.scalar(text("SELECT count(*) FROM ledgers"))
            order.append(f"{name} sees {seen}")

        return run

    async with ledgers.transaction() as unit:
        unit.after_commit(lambda: order.append("committed"))
        unit.before_commit(step("first"))
        unit.before_commit(step("second"))
        await unit.session.execute(INSERT, {"name": "a"})
        order.append("block ends")
    assert order == ["block ends", "first sees 1", "second sees 1", "committed"]


async def test_what_follows_the_commit_finds_it_visible_to_others(ledgers):
    following = []
    async with ledgers.transaction() as unit:
        await unit.session.execute(INSERT, {"name": "a"})
        unit.after_commit(lambda: following.append(asyncio.create_task(names(ledgers))))
        assert await names(ledgers) == []
    assert await following[0] == ["a"]


async def test_an_error_in_the_block_rolls_back_and_nothing_registered_runs(ledgers):
    ran = []

    async def step(_):
        ran.append("before")

    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.session.execute(INSERT, {"name": "a"})
            unit.before_commit(step)
            unit.after_commit(lambda: ran.append("after"))
            raise LookupError

    with pytest.raises(LookupError):
        await use_case()
    assert ran == []
    assert await names(ledgers) == []


async def test_a_step_that_fails_rolls_back_all_and_nothing_follows(ledgers):
    ran = []

    async def fail(unit):
        await unit.session.execute(INSERT, {"name": "a"})

    async def use_case():
        async with ledgers.transaction() as unit:
            unit.after_commit(lambda: ran.append("after"))
            await unit.session.execute(INSERT, {"name": "a"})
            unit.before_commit(fail)

    with pytest.raises(IntegrityError):
        await use_case()
    assert ran == []
    assert await names(ledgers) == []


async def test_a_step_that_registers_another_has_it_run_in_the_same_transaction(ledgers):
    async def second(unit):
        await unit.session.execute(INSERT, {"name": "b"})

    async def first(unit):
        unit.before_commit(second)

    async with ledgers.transaction() as unit:
        unit.before_commit(first)
    assert await names(ledgers) == ["b"]


async def test_a_transaction_that_did_nothing_still_runs_its_after_commit_steps(ledgers):
    ran = []
    async with ledgers.transaction() as unit:
        unit.after_commit(lambda: ran.append("after"))
    assert ran == ["after"]


async def test_connections_carry_the_processes_name_and_the_time_out_of_a_statement(
    database_settings,
):
    settings = database_settings.model_copy(update={"database_statement_timeout": 7})
    database = Database(settings=settings, application_name="tests")
    async with database.opened() as pool, pool.transaction() as unit:
        setting = func.current_setting
        row = (
            await unit.session.execute(
                select(setting("application_name"), setting("statement_timeout"), setting("jit"))
            )
        ).one()
    assert tuple(row) == ("tests", "7s", "off")
