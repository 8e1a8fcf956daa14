"""Statements on one connection of the pool, by asyncpg or by SQLAlchemy's session.

A statement costs asyncpg about 0.03 ms of CPU, and SQLAlchemy 0.13 ms.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from time import perf_counter
from typing import NoReturn, override

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session  # noqa: TID251 - the synchronous half of an AsyncSession

from chassis.database.errors import DRIVER_ERRORS
from chassis.database.orm import Orm
from chassis.database.pool import Pool, PooledConnection
from chassis.database.spans import unwatch, watch_if_recording
from chassis.library_internals.asyncpg import is_cancelling
from chassis.library_internals.sqlalchemy import await_only


def rows_changed(status: str) -> int:
    """Return the number of rows in a statement's status, as in ``UPDATE 1``; 0 if it has none."""
    number = status.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 0


class Statements:
    """Statements on one connection of the pool; the first one takes it.

    Args:
        pool: the pool.
        orm: lends the connection to SQLAlchemy.
    """

    def __init__(self, *, pool: Pool, orm: Orm) -> None:
        self._pool = pool
        self._orm = orm
        self._held: PooledConnection | None = None
        self._lent: AsyncConnection | None = None
        self._session: _UnitSession | None = None
        self._traced = False

    @property
    def session(self) -> AsyncSession:
        """SQLAlchemy's session for the ORM; its first statement lends it the connection."""
        if self._session is None:
            self._session = _UnitSession(self)
        return self._session

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement, and return its rows.

        Changes of ORM objects are flushed first.

        Args:
            sql: the statement, with `$1`, `$2` … for the arguments.
            arguments: as asyncpg accepts them; JSON is a text.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError: not wrapped by SQLAlchemy.
        """
        held = await self._connection(sql)
        began = perf_counter()
        try:
            rows: list[asyncpg.Record] = await held.driver.fetch(sql, *arguments)
        except DRIVER_ERRORS as error:
            self._pool.failed(held, error)
            raise
        self._pool.statement_took(perf_counter() - began)
        return rows

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run one statement, and return the number of rows that it changed.

        Arguments and errors are those of ``fetch``.
        """
        held = await self._connection(sql)
        began = perf_counter()
        status = await self._run(held, held.driver.execute(sql, *arguments))
        self._pool.statement_took(perf_counter() - began)
        return rows_changed(status)

    async def begin(self) -> None:
        """Take the connection, if no statement has done so."""
        if self._held is None:
            await self._take()

    async def end(self) -> None:
        """Give the connection back; if a statement was interrupted, once the server has ended it.

        Otherwise the next statement would wait for that, in the block that gets the connection.
        """
        if self._held is not None and is_cancelling(self._held.driver):
            await self._pool.settled(self._held)
        await self._release()

    def released_at_once(self) -> bool:
        """Give the connection back if nothing has to be awaited for it; return whether it is back.

        It can't be cancelled half-way, so it needs no task of its own.
        """
        if self._session is not None or self._lent is not None:
            return False
        held = self._held
        if held is not None and is_cancelling(held.driver):
            return False
        if held is not None and self._traced:
            unwatch(held.driver)
        if held is None or self._pool.take_back(held):
            self._held = None
            return True
        return False

    def must_begin(self, sql: str) -> bool:  # noqa: ARG002 - a unit looks at it
        """Return whether a transaction must begin before this statement: here, none."""
        return False

    async def _connection(self, sql: str) -> PooledConnection:
        """Return the connection, on which the statement can be run."""
        if self._session is not None:
            await self._session.flush_changes()
        if self.must_begin(sql):
            await self.begin()
        return self._held or await self._take()

    async def _run[T](self, held: PooledConnection, statement: Awaitable[T]) -> T:
        """Await a statement of the driver, and pass its error to the pool."""
        try:
            return await statement
        except DRIVER_ERRORS as error:
            self._pool.failed(held, error)
            raise

    async def _take(self) -> PooledConnection:
        self._held = held = await self._pool.acquire()
        self._traced = watch_if_recording(held.driver)
        return held

    @property
    def lent(self) -> Connection | None:
        """SQLAlchemy's view of the connection; None if it is not lent."""
        return None if self._lent is None else self._lent.sync_connection

    async def lend(self) -> Connection:
        """Lend the connection to SQLAlchemy, until it is given back to the pool."""
        self._lent = await self._orm.lend(self._held or await self._take(), self)
        lent: Connection = self._lent.sync_connection  # type: ignore[assignment]  # it is open
        return lent

    async def _release(self) -> None:
        """Take the connection back from SQLAlchemy, and give it back to the pool."""
        session, self._session = self._session, None
        lent, self._lent = self._lent, None
        held, self._held = self._held, None
        try:
            if session is not None:
                await session.close()
            if lent is not None:
                await lent.close()
        finally:  # whatever SQLAlchemy raises: a connection that is not given back blocks the pool
            if held is not None:
                if self._traced:
                    unwatch(held.driver)
                await self._pool.release(held)


async def each_row(
    unit: Statements,
    sql: str,
    *arguments: object,
    after: Mapping[str, object],
    page: int = 100,
) -> AsyncIterator[asyncpg.Record]:
    """Yield the rows of a statement in SQL, page by page. Lists of models use ``each_page``.

    Args:
        unit: the transaction.
        sql: returns a page: the rows after a position, in its order, and at most a number of them.
            Its last parameters are the values of the position, and the number.
        arguments: its other parameters.
        after: the position before the first row, by the names of the columns.
        page: the number of rows of a page.
    """
    place = tuple(after.values())
    while True:
        rows = await unit.fetch(sql, *arguments, *place, page)
        for row in rows:
            yield row
        if len(rows) < page:
            return
        place = tuple(rows[-1][name] for name in after)


class _SyncSession(Session):
    """Runs on the connection of its unit, which is looked up for its first statement."""

    @override
    def get_bind(self, *_: object, **__: object) -> Connection:
        unit: Statements = self.info["unit"]
        return unit.lent or await_only(unit.lend())


class _UnitSession(AsyncSession):
    """A session that leaves transaction and savepoints to its unit."""

    sync_session_class = _SyncSession

    def __init__(self, unit: Statements) -> None:
        super().__init__(expire_on_commit=False, info={"unit": unit})

    async def flush_changes(self) -> None:
        """Flush if there is anything to flush."""
        if self.new or self.dirty or self.deleted:
            await self.flush()

    @override
    async def commit(self) -> NoReturn:
        message = "a unit of work commits at the end of its block: leave the block"
        raise RuntimeError(message)

    @override
    async def rollback(self) -> NoReturn:
        message = "a unit of work is rolled back by an error of its block: raise one"
        raise RuntimeError(message)

    @override
    def begin_nested(self) -> NoReturn:
        message = "savepoints belong to the unit of work: use Unit.savepoint"
        raise RuntimeError(message)
