"""A service works behind a pooler in transaction mode; LISTEN and the relay bypass the pooler."""

import asyncio

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from chassis.database import Connector, Database, DatabaseSettings, is_infrastructure_error
from chassis.database.connecting import UndeclaredPoolerError
from chassis.database.migrations import upgrade
from chassis.database.settings import Pooler
from chassis.messaging import Wakeups
from chassis.messaging.wakeup import listen
from chassis.process import Process
from chassis.settings import Environment
from chassis.wiring import ServiceSettings, open_service
from localservers.ports import free_port

from .conftest import counting_service, running, settings_for
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
        async with pooled.database.reading() as unit:
            for turn in range(30):
                statement = text(f"SELECT :one + {number}, :other || '{turn}'")
                found = await unit.session.execute(statement, {"one": turn, "other": "turn "})
                assert found.one() == (turn + number, f"turn {turn}")

    await asyncio.gather(*(read(number) for number in range(12)))


async def test_transactions_of_one_statement_do_not_meet_each_others_statements(pooled):
    async def write(number):
        async with pooled.database.transaction() as unit:
            found = await unit.fetch_ahead(f"SELECT $1::int + {number} AS sum", 1, guard="none")
            unit.defer(f"INSERT INTO counters VALUES ($1, {number})", f"{found[0]['sum']}")

    await asyncio.gather(*(write(number) for number in range(60)))
    rows = await pooled.query("SELECT name, value FROM counters")
    assert sorted((int(name), value) for name, value in rows) == [(n + 1, n) for n in range(60)]


async def test_the_poolers_sessions_have_the_limits_that_ours_would(pooled):
    async with pooled.database.transaction() as unit:
        found = await unit.session.execute(
            text("SELECT current_setting('statement_timeout'), current_setting('jit')")
        )
        assert found.one() == ("10s", "off")


async def test_more_connections_are_served_than_there_are_to_the_server(pooled):
    """Otherwise the tests above would prove little."""
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


# What a service and its direct connections send at their start.
SENT = "statement_timeout, jit, tcp_keepalives_idle, tcp_keepalives_interval, tcp_keepalives_count"
SENT += ", idle_session_timeout, enable_seqscan, enable_bitmapscan, plan_cache_mode"


@pytest.fixture(
    params=[("transaction", SENT), ("session", SENT), ("transaction", "")],
    ids=["transaction", "session", "strict"],
)
async def undeclared(request, database, tmp_path):
    """A pooler that no setting names; the strict one rejects what a service sends."""
    mode, ignored = request.param
    server = PgBouncer(
        directory=tmp_path, port=free_port(), url=database.runtime_url, mode=mode, ignored=ignored
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def undeclared_settings(undeclared):
    return settings_for(undeclared.url)


async def test_a_pooler_that_no_setting_names_is_found_at_the_first_connection(undeclared_settings):
    async with Database(settings=undeclared_settings, application_name="tests").opened() as pool:
        for _ in range(2):
            with pytest.raises(UndeclaredPoolerError, match="DATABASE_POOLER=transaction") as found:
                async with pool.transaction() as unit:
                    await unit.session.execute(text("SELECT 1"))
            assert not is_infrastructure_error(found.value)


async def test_a_declared_pooler_in_session_mode_is_accepted_as_well(database, undeclared_settings):
    settings = undeclared_settings.model_copy(
        update={
            "database_pooler": Pooler.TRANSACTION,
            "database_direct_url": SecretStr(database.runtime_url),
        }
    )
    async with Database(settings=settings, application_name="tests").opened() as pool:
        async with pool.transaction() as unit:
            assert await unit.session.scalar(text("SELECT 1")) == 1
        async with pool.direct.opened("tests-direct") as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_what_holds_locks_or_listens_takes_no_pooler_for_postgres(offline, undeclared):
    connector = Connector.to(undeclared.url, name="database_direct")
    for work in (
        offline.relay(dsn=undeclared.url).run(),
        Wakeups(connector=connector, application_name="tests-wakeups").run(),
        listen(connector, "tests-listen", "tests_channel", lambda _: None),
        connector.watch("tests-watch"),
    ):
        with pytest.raises(UndeclaredPoolerError, match=r"DATABASE_(DIRECT_)?URL leads"):
            await work


@pytest.fixture
def pooled_service(tmp_path, monkeypatch):
    """The folder of a service that has only the tables of messaging."""
    package = tmp_path / "src" / "pooled_service"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "metadata.py").write_text(
        "from sqlalchemy.orm import DeclarativeBase\n"
        "from chassis.database import service_metadata\n"
        "from chassis.messaging import declare_messaging_tables\n"
        "class Base(DeclarativeBase):\n"
        "    metadata = service_metadata()\n"
        "declare_messaging_tables(Base.metadata)\n"
    )
    monkeypatch.syspath_prepend(package.parent)
    folder = tmp_path / "pooled_service"
    (folder / "migrations" / "versions").mkdir(parents=True)
    return folder


async def test_migrations_take_no_pooler_for_postgres(undeclared, pooled_service):
    """Migrations hold a lock of the session, which a pooler does not keep."""
    with pytest.raises(UndeclaredPoolerError, match="DATABASE_OWNER_URL"):
        await asyncio.to_thread(upgrade, pooled_service, undeclared.url)


@pytest.fixture
def service_settings(database, tokens):
    return ServiceSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database.runtime_url),
        database_direct_url=SecretStr(database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",
        auth_jwks_file=tokens.jwks_file,
    )


@pytest.mark.parametrize("misled", ["database_url", "database_direct_url"])
async def test_a_process_whose_settings_omit_its_pooler_ends(undeclared, service_settings, misled):
    settings = service_settings.model_copy(update={misled: SecretStr(undeclared.url)})
    process = Process(name="counters", settings=settings)
    async with (
        process.running(open_service(settings, process, service="counters")),
        asyncio.timeout(30),
    ):
        await process.stopping.wait()
    assert isinstance(process.failure, UndeclaredPoolerError)
    assert misled.upper() in str(process.failure)
    assert process.health.parts[misled.removesuffix("_url")].startswith("pooler: ")
