"""A canary: SQLAlchemy has what `chassis.library_internals.sqlalchemy` relies on."""

import sqlalchemy.util
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chassis.database.engine import asyncpg_url
from chassis.library_internals.sqlalchemy import await_only
from testkit.library_internals import PrivateName

AWAIT_ONLY = PrivateName(
    library="SQLAlchemy",
    owner=sqlalchemy.util,
    name="await_only",
    parameters="awaitable",
    used_by="chassis.library_internals.sqlalchemy",
)


def test_sqlalchemy_has_it():
    AWAIT_ONLY.check()


async def test_it_awaits_inside_synchronous_code(postgres_url):
    async def number():
        return 7

    engine = create_async_engine(asyncpg_url(postgres_url))
    try:
        async with engine.connect() as connection:
            assert isinstance(connection, AsyncConnection)
            result = await connection.run_sync(lambda _: await_only(number()))
    finally:
        await engine.dispose()
    assert result == 7, AWAIT_ONLY.look_at("does not await")
