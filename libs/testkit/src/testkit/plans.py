"""Plans of statements, for tests which index a statement reads."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from sqlalchemy import event

from chassis.database.unit import Unit


async def generic_plan(connection: "asyncpg.Connection[asyncpg.Record]", sql: str) -> str:
    """Return the plan of a statement for any arguments, as PostgreSQL explains it.

    The connection prefers such plans from then on. A plan for the arguments of a test could read an
    index that the plan for other arguments does not.
    """
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE explained AS {sql}")
    count = await connection.fetchval(
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'"
    )
    nulls = f"({', '.join(['NULL'] * count)})" if count else ""
    plan = await connection.fetch(f"EXPLAIN EXECUTE explained{nulls}")
    await connection.execute("DEALLOCATE explained")
    return "\n".join(row[0] for row in plan)


async def plans_of_orm(
    connection: "asyncpg.Connection[asyncpg.Record]",
    unit: Unit,
    run: Callable[[Unit], Awaitable[object]],
) -> list[str]:
    """Return the plans of the statements that SQLAlchemy sends, with their own arguments.

    Args:
        connection: explains them.
        unit: the transaction that they belong to.
        run: sends them.
    """
    sent: list[tuple[str, Any]] = []

    def collect(_: object, __: object, sql: str, given: Any, *___: object) -> None:  # noqa: ANN401 - as the driver takes them
        sent.append((sql, given))

    lent = await unit.session.connection()
    event.listen(lent.sync_connection, "before_cursor_execute", collect)
    await run(unit)
    plans = [await connection.fetch(f"EXPLAIN {sql}", *given) for sql, given in sent]
    return ["\n".join(row[0] for row in rows) for rows in plans]
