"""Behind a pooler in transaction mode, a service works as without; LISTEN and relay pass it by."""

import asyncio

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from chassis.database import DatabaseSettings
from chassis.servers.base import free_port
from chassis.settings import Environment

from .conftest import counting_service, running
from .history import faults
from .pgbouncer import PROGRAM, PgBouncer

NAMES = [f"counter-{number}" for number in range(20)]
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed: apt-get install pgbouncer"
)


@pytest.fixture
async def pooler(database, tmp_path):
    server = PgBouncer(directory=tmp_path, port=free_port(), url=database.runtime_url)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def settings(database, pooler):
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(pooler.url),
        database_direct_url=SecretStr(database.runtime_url),
        database_pooler="transaction",
    )


@pytest.fixture
async def pooled(database, settings, topics):
    await topics.create(["counters"])
    async with (
        counting_service(database, settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting


async def test_events_take_effect_once_and_in_order_through_a_pooler(pooled):
    async with running(pooled.relay().run(), pooled.consumer(session_seconds=2).run()):
        await asyncio.gather(*(pooled.raise_counters(*[name] * 10) for name in NAMES))
        await pooled.until_effects()
    assert faults(await pooled.effects(), pooled.raised) == []


async def test_readers_that_share_connections_do_not_meet_each_others_statements(pooled):
    await pooled.raise_counters(*NAMES)

    async def read(number):
        async with pooled.database.reading() as session:
            for turn in range(30):
                statement = text(f"SELECT :one + {number}, :other || '{turn}'")
                found = await session.execute(statement, {"one": turn, "other": "turn "})
                assert found.one() == (turn + number, f"turn {turn}")

    await asyncio.gather(*(read(number) for number in range(12)))


async def test_the_poolers_sessions_have_the_limits_that_ours_would(pooled):
    async with pooled.database.transaction() as session:
        found = await session.execute(
            text("SELECT current_setting('statement_timeout'), current_setting('jit')")
        )
        assert found.one() == ("10s", "off")


async def test_more_connections_are_served_than_there_are_to_the_server(pooled):
    """Else the tests above would prove little."""
    await asyncio.gather(*(pooled.raise_counters(name) for name in NAMES))
    admin = await asyncpg.connect(pooled.urls.superuser_url)
    try:
        servers = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'counters_runtime' AND application_name = 'tests'"
        )
    finally:
        await admin.close()
    assert 1 <= servers <= 3


def test_a_pooler_without_a_way_past_it_is_refused(database):
    with pytest.raises(ValidationError, match="DATABASE_DIRECT_URL is not set"):
        DatabaseSettings(
            environment=Environment.DEVELOPMENT,
            database_url=SecretStr(database.runtime_url),
            database_pooler="transaction",
        )
