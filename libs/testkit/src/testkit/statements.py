"""Collects the statements that a transaction, or a request to an app, sends to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import asyncpg
from asyncpg.connection import LoggedQuery
from sqlalchemy import Connection, Engine, event

from chassis.database import Database
from chassis.database.unit import Unit

# The driver looks up a type when a connection first uses it, without the JIT compiler.
_DRIVERS_OWN = ("pg_catalog.", "current_setting('jit')")


@asynccontextmanager
async def statements_in_transaction(
    database: Database,
) -> AsyncIterator[tuple[Unit, list[str]]]:
    """Begin a transaction; yield it, and the list of what it sends after BEGIN.

    COMMIT is in the list after the block. In the block, a statement is in the list in the event
    loop's next round.
    """
    with ExitStack() as stack:
        async with database.transaction() as unit:
            await unit.begin()
            sent = stack.enter_context(_sent_on(await _driver_of(unit)))
            yield unit, sent
        await asyncio.sleep(0)  # the driver reports the last statement in the loop's next round


@asynccontextmanager
async def statements_of_requests(database: Database) -> AsyncIterator[list[str]]:
    """Yield the list of what an app's requests in the block send, with BEGIN and COMMIT.

    Send one request at a time, before the block as well: the app's pool then has one connection,
    which is observed.

    Args:
        database: the app's, from `app.state`.
    """
    async with database.transaction() as unit:
        driver = await _driver_of(unit)
    with _sent_on(driver) as sent:
        yield sent
        await asyncio.sleep(0)


async def _driver_of(unit: Unit) -> asyncpg.Connection:
    lent = await unit.session.connection()
    driver = (await lent.get_raw_connection()).driver_connection
    if not isinstance(driver, asyncpg.Connection):
        message = f"The driver's connection is a {type(driver).__name__}, not asyncpg's."
        raise TypeError(message)
    return driver


@contextmanager
def _sent_on(driver: asyncpg.Connection) -> Iterator[list[str]]:
    sent: list[str] = []

    def by_driver(query: LoggedQuery) -> None:
        if not any(mark in query.query for mark in _DRIVERS_OWN):
            sent.append(query.query)

    # SQLAlchemy prepares its statements, which the driver does not report.
    def by_sqlalchemy(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        if connection.connection.driver_connection is driver:
            sent.append(sql)

    driver.add_query_logger(by_driver)
    event.listen(Engine, "before_cursor_execute", by_sqlalchemy)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", by_sqlalchemy)
        driver.remove_query_logger(by_driver)
