"""The session of a request: one transaction, committed before the answer leaves."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.engine import Database


async def database_of(connection: HTTPConnection) -> Database:
    """Find the database that the process opened."""
    database: Database = connection.app.state.database
    return database


async def _session(
    database: Annotated[Database, Depends(database_of)],
) -> AsyncIterator[AsyncSession]:
    async with database.transaction() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(_session, scope="function")]
"""FastAPI runs what follows a ``yield`` after the answer was sent, unless the scope is "function":
a client could read 201 before a commit that fails."""
