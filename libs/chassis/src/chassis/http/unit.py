"""The unit of work of a request: one transaction, committed before the response is sent."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from chassis.database.database import Database
from chassis.database.reading_ahead import READS_AHEAD
from chassis.database.unit import Unit


async def database_of(connection: HTTPConnection) -> Database:
    """Return the database that the process opened."""
    database: Database = connection.app.state.database
    return database


async def _unit(
    connection: HTTPConnection, database: Annotated[Database, Depends(database_of)]
) -> AsyncIterator[Unit]:
    async with database.transaction() as unit:
        unit.reads_ahead = connection.scope.get(READS_AHEAD, False)
        yield unit


UnitDep = Annotated[Unit, Depends(_unit, scope="function")]
"""The unit of work of a request.

Unless the scope is "function", FastAPI runs the code after ``yield``, and so the commit, only when
the response was sent. A client could then receive 201 before a commit that fails."""
