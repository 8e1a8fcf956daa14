"""Statements that run for each message, push or order: by asyncpg, in the session's transaction.

SQLAlchemy takes some 0.13 ms of CPU for a statement, asyncpg 0.03: where ten of them make a message
that is most of its cost.
"""

from typing import Any, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import SessionTransaction

_DRIVER = "chassis.driver"


async def fetch(session: AsyncSession, sql: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one statement, and give its rows.

    What the session has not flushed yet is not written before it. As the first of a transaction it
    costs a round trip more than one by SQLAlchemy, which alone can send the BEGIN.

    Args:
        session: whose connection and transaction it runs in.
        sql: with `$1`, `$2` … for the arguments.
        arguments: as asyncpg takes them; JSON is a text.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError: not wrapped by SQLAlchemy.
    """
    driver = await _driver_of(session)
    return list(await driver.fetch(sql, *arguments))


async def _driver_of(session: AsyncSession) -> "asyncpg.Connection[Any]":
    """Find the session's connection, once for each of its transactions and savepoints."""
    known = session.info.get(_DRIVER)
    if known is not None and known[0] is _innermost(session):
        return cast("asyncpg.Connection[Any]", known[1])
    connection = await session.connection()  # sends the SAVEPOINT, too
    raw = await connection.get_raw_connection()
    driver = cast("asyncpg.Connection[Any]", raw.driver_connection)
    if not driver.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")  # sends the BEGIN, which waits for a statement
    session.info[_DRIVER] = (_innermost(session), driver)
    return driver


def _innermost(session: AsyncSession) -> SessionTransaction | None:
    one = session.sync_session
    return one.get_nested_transaction() or one.get_transaction()
