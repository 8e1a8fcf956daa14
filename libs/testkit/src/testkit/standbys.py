"""A PostgreSQL whose COMMITs wait for a standby that is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from localservers import PostgresServer
from localservers.ports import free_port

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'SyncRep'
"""


@asynccontextmanager
async def server_with_standbys(directory: Path) -> AsyncIterator[PostgresServer]:
    """Run a server that may have standbys."""
    server = PostgresServer(
        directory=directory,
        port=free_port(),
        password="only-here",  # noqa: S106 - of a server that lives as long as the tests
        settings={"wal_level": "replica", "max_wal_senders": "1"},
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def wait_for_standbys(admin: asyncpg.Connection, names: str) -> None:
    """Make each COMMIT wait for a standby of these names, or for none."""
    await admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    await admin.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def standby_away(superuser_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Make all COMMITs wait but those of the superuser's connection that is yielded."""
    admin = await asyncpg.connect(superuser_url)
    await wait_for_standbys(admin, "away")
    await admin.execute("SET synchronous_commit = local")
    try:
        yield admin
    finally:
        await wait_for_standbys(admin, "")
        await admin.close()


async def commits_wait(admin: asyncpg.Connection) -> bool:
    """Return whether a COMMIT in this database waits for a standby."""
    return bool(await admin.fetchval(_WAITING))
