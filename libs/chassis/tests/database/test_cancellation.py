"""A task that is cancelled ends as cancelled, whatever state its connection is in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from chassis.database import Database
from chassis.database.unit import Unit

type Opened = Callable[[], AbstractAsyncContextManager[Unit]]
type Kill = Callable[[int], Coroutine[Any, Any, bool]]


@pytest.fixture(params=["transaction", "reading"])
def opened(request: pytest.FixtureRequest, ledgers: Database) -> Opened:
    """The two ways in which the database hands out a connection."""
    way: Opened = getattr(ledgers, request.param)
    return way


@pytest.fixture
async def kill(service_database) -> AsyncIterator[Kill]:
    """End a backend, wait until it is gone, and return whether it existed."""
    admin = await asyncpg.connect(service_database.superuser_url)

    async def end(pid: int) -> bool:
        ended: bool = await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        return ended

    yield end
    await admin.close()


class Holder:
    """Holds a connection with a transaction under way, or in a statement, until it is cancelled."""

    def __init__(self, opened: Opened, *, statement: str | None = None) -> None:
        self._opened = opened
        self._statement = statement
        self.holds = asyncio.Event()
        self.pid = 0

    async def hold(self) -> None:
        async with self._opened() as unit:
            self.pid = await unit.session.scalar(text("SELECT pg_backend_pid()"))
            self.holds.set()
            if self._statement is not None:
                await unit.session.execute(text(self._statement))
            await asyncio.Event().wait()


async def test_between_the_connections_death_and_the_close_a_cancellation_is_not_lost(
    opened: Opened, kill: Kill
):
    holder = Holder(opened)
    task = asyncio.create_task(holder.hold())
    await holder.holds.wait()
    assert await kill(holder.pid)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_between_a_timeout_and_the_close_the_connection_dies_and_it_is_a_timeout(
    opened: Opened, kill: Kill
):
    holder = Holder(opened)

    async def bounded() -> None:
        async with asyncio.timeout(None) as limit:
            ending = asyncio.create_task(expire(limit))
            try:
                await holder.hold()
            finally:
                await ending

    async def expire(limit: asyncio.Timeout) -> None:
        await holder.holds.wait()
        assert await kill(holder.pid)
        limit.reschedule(0)

    with pytest.raises(TimeoutError):
        await bounded()


async def test_between_a_siblings_failure_and_the_close_the_connection_dies_and_one_error_is_raised(
    opened: Opened, kill: Kill
):
    holder = Holder(opened)

    async def fail() -> None:
        await holder.holds.wait()
        assert await kill(holder.pid)
        raise LookupError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(holder.hold())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        await both()
    assert [type(error) for error in raised.value.exceptions] == [LookupError]


async def test_a_cancellation_during_a_statement_whose_connection_dies_is_not_lost(
    opened: Opened, kill: Kill
):
    holder = Holder(opened, statement="SELECT pg_sleep(60)")
    task = asyncio.create_task(holder.hold())
    await holder.holds.wait()
    killing = asyncio.create_task(kill(holder.pid))
    await asyncio.sleep(0)  # the request to end it is being sent
    task.cancel()
    await asyncio.wait([task])
    await killing
    assert task.cancelled()


async def test_between_the_begin_of_the_rollback_and_its_end_a_cancellation_is_not_lost(
    ledgers: Database,
):
    async def leave() -> None:
        async with ledgers.transaction() as unit:
            await unit.begin()
            asyncio.get_running_loop().call_soon(task.cancel)
            raise LookupError

    task = asyncio.create_task(leave())
    await asyncio.wait([task])
    assert task.cancelled()
    async with ledgers.transaction() as unit:
        assert (await unit.fetch("SELECT 1 AS one"))[0]["one"] == 1


async def test_an_error_of_the_block_outlives_that_of_the_close(opened: Opened, kill: Kill):
    async def leave() -> None:
        async with opened() as unit:
            assert await kill(await unit.session.scalar(text("SELECT pg_backend_pid()")))
            raise LookupError

    with pytest.raises(LookupError):
        await leave()


async def test_after_a_cancellation_the_pool_serves_the_next(opened: Opened, kill: Kill):
    for _ in range(30):  # more than the pool has connections
        holder = Holder(opened)
        task = asyncio.create_task(holder.hold())
        await holder.holds.wait()
        assert await kill(holder.pid)
        task.cancel()
        await asyncio.wait([task])
    async with opened() as unit:
        assert await unit.session.scalar(text("SELECT 1")) == 1
