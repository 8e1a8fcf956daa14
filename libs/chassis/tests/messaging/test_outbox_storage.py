"""The outbox stays small on disk: published rows are vacuumed soon, and their space is freed."""

import asyncio
import time

import asyncpg

from .test_scan import FILL

ROWS = 100_000
PUBLISHED = 15_000  # less than a fifth: by default PostgreSQL would not vacuum so few
SIZE = "SELECT pg_relation_size('counters.outbox')"
# The tests' PostgreSQL checks every 5 s; the default is a minute.
PATIENCE_SECONDS = 90.0


async def test_the_room_of_published_events_is_given_back_soon(offline):
    await offline.query(FILL, ROWS)
    admin = await asyncpg.connect(offline.urls.superuser_url)
    try:
        await admin.execute("VACUUM ANALYZE counters.outbox")
        full = await admin.fetchval(SIZE)
        await admin.execute(
            "DELETE FROM counters.outbox WHERE seq > (SELECT max(seq) - $1 FROM counters.outbox)",
            PUBLISHED,
        )
        end = time.monotonic() + PATIENCE_SECONDS
        while await admin.fetchval(SIZE) > full * 0.9:
            assert time.monotonic() < end, "autovacuum gave nothing back"
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
