"""Operators act on jobs, and an action counts only if its transaction commits."""

from contextlib import suppress

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Counter

from chassis.database.unit import BeforeCommit, NotCommittedError, Unit
from chassis.operations.dead_letters import Action
from chassis.operations.jobs import OperatedJobs

from .conftest import WorkingService
from .working import SERVICE, Inside

BY = Action(actor="somebody", reason="a test")


async def _fail(unit: Unit) -> None:
    """Fail a statement and go on, so that PostgreSQL rolls back at the COMMIT."""
    with suppress(asyncpg.UndefinedTableError):
        await unit.execute("DELETE FROM no_such_table")


async def test_an_action_is_counted_if_its_transaction_commits(service: WorkingService) -> None:
    registry = CollectorRegistry()
    counter = Counter("actions_total", "Actions.", ["action"], registry=registry)
    operated = OperatedJobs(service=SERVICE, wakeups=service.wakeups, counter=counter)

    def counted() -> float | None:
        return registry.get_sample_value("actions_total", {"action": "cancelled"})

    async def cancel(number: int, *steps: BeforeCommit) -> None:
        async with service.database.transaction() as unit:
            await operated.cancel(unit, number, BY)
            for step in steps:
                unit.before_commit(step)

    [number] = await service.enqueue(Inside(number=1))
    assert number is not None
    with pytest.raises(NotCommittedError):
        await cancel(number, _fail)
    assert not counted()
    await cancel(number)
    assert counted() == 1
