"""Plans of statements, for tests which index a statement reads."""

import asyncpg


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
