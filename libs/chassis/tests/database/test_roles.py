"""Grants: a service reads and writes its own schema only, and its runtime role may not run DDL."""

import asyncio
import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from chassis.database.limits import (
    BATCH_SECONDS,
    COMMIT_SECONDS,
    HANDLER_SECONDS,
    IDLE_SECONDS,
    LOCK_SECONDS,
    TRANSACTION_SECONDS,
)
from chassis.database.roles import bootstrap
from testkit.databases import PASSWORD, ServiceDatabase, bootstrap_services, url_for


@asynccontextmanager
async def connected(url):
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def database_of(service_database):
    return service_database.superuser_url.rpartition("/")[2]


@pytest.fixture(scope="session")
async def neighbour(service_database):
    """Another service in the same database, with a table."""
    superuser = service_database.superuser_url
    await bootstrap_services(superuser, database_of(service_database), ["neighbours"])
    url = url_for(superuser, database=database_of(service_database), role="neighbours_owner")
    async with connected(url) as owner:
        await owner.execute("CREATE TABLE fences (id bigint)")
    return url.replace("neighbours_owner", "neighbours_runtime")


async def test_the_runtime_role_reads_and_writes_its_tables_without_naming_the_schema(database):
    async with connected(database.runtime_url) as runtime:
        await runtime.execute("INSERT INTO ledgers VALUES ('a', 1)")
        await runtime.execute("UPDATE ledgers SET sum = 2")
        assert await runtime.fetchval("SELECT sum FROM ledgers") == 2
        await runtime.execute("DELETE FROM ledgers")


async def test_tables_and_sequences_that_the_owner_makes_later_are_the_runtime_roles_too(database):
    async with connected(database.owner_url) as owner, connected(database.runtime_url) as runtime:
        await owner.execute("CREATE TABLE late (id bigserial, name text)")
        try:
            assert await runtime.fetchval("INSERT INTO late (name) VALUES ('a') RETURNING id") == 1
        finally:
            await owner.execute("DROP TABLE late")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE ledgers.more (id int)",
        "CREATE TABLE public.more (id int)",
        "CREATE TEMPORARY TABLE more (id int)",
        "ALTER TABLE ledgers ADD COLUMN more int",
        "DROP TABLE ledgers",
        "TRUNCATE ledgers",
        "CREATE INDEX more ON ledgers (sum)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA more",
        "CREATE EXTENSION plpgsql",
        "CREATE ROLE more",
        "SET ROLE ledgers_owner",
    ],
)
async def test_the_runtime_role_has_no_ddl(database, statement):
    async with connected(database.runtime_url) as runtime:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.DuplicateObjectError)):
            await runtime.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM ledgers.ledgers",
        "INSERT INTO ledgers.ledgers VALUES ('theirs', 1)",
        "DELETE FROM ledgers.ledgers",
        "SET ROLE ledgers_runtime",
    ],
)
async def test_another_services_roles_reach_nothing_of_it(neighbour, statement):
    for url in (neighbour, neighbour.replace("neighbours_runtime", "neighbours_owner")):
        async with connected(url) as other:
            assert await other.fetchval("SELECT count(*) FROM fences") == 0
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await other.execute(statement)


async def test_the_runtime_role_has_its_time_limits(database):
    async with connected(database.runtime_url) as runtime:
        limits = {
            name: await runtime.fetchval("SELECT current_setting($1)", name)
            for name in (
                "idle_in_transaction_session_timeout",
                "transaction_timeout",
                "lock_timeout",
            )
        }
    assert limits == {
        "idle_in_transaction_session_timeout": "25s",
        "transaction_timeout": "30s",
        "lock_timeout": "5s",
    }


@pytest.mark.parametrize("as_owner", [False, True])
async def test_a_day_has_24_hours_on_a_server_whose_time_zone_has_summer_time(
    service_database, as_owner
):
    before = datetime(2026, 3, 28, 11, tzinfo=UTC)  # Berlin changes to summer time in the night
    query = "SELECT $1::timestamptz + $2::interval"
    database = database_of(service_database)
    async with connected(service_database.superuser_url) as admin:
        await admin.execute(f"ALTER DATABASE {database} SET TimeZone = 'Europe/Berlin'")
        try:
            async with service_database.connected(as_owner=as_owner) as role:
                for time in (timedelta(hours=24), timedelta(days=7)):
                    assert await role.fetchval(query, before, time) == before + time
        finally:
            await admin.execute(f"ALTER DATABASE {database} RESET TimeZone")


def test_a_transaction_has_time_for_a_lock_a_handler_and_its_commit():
    assert TRANSACTION_SECONDS >= LOCK_SECONDS + HANDLER_SECONDS + COMMIT_SECONDS
    assert HANDLER_SECONDS < IDLE_SECONDS < TRANSACTION_SECONDS
    assert BATCH_SECONDS < TRANSACTION_SECONDS


async def test_a_second_bootstrap_changes_nothing_but_the_passwords(postgres_url):
    service = f"service_{secrets.token_hex(4)}"
    created = await ServiceDatabase.create_empty(postgres_url, service)
    async with connected(created.owner_url) as owner:
        await owner.execute("CREATE TABLE kept (id bigint); INSERT INTO kept VALUES (1)")
    async with connected(created.superuser_url) as admin:
        await bootstrap(admin, service, owner_password=PASSWORD, runtime_password="it's \\ new")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(created.runtime_url)
    runtime = await asyncpg.connect(created.runtime_url, password="it's \\ new")
    try:
        assert await runtime.fetchval("SELECT id FROM kept") == 1
    finally:
        await runtime.close()


async def test_bootstraps_at_the_same_time_in_one_and_in_several_databases_all_succeed(
    postgres_url,
):
    service = f"service_{secrets.token_hex(4)}"
    databases = [f"test_{service}_{number}" for number in range(4)]
    async with connected(postgres_url) as admin:
        for database in databases:
            await admin.execute(f"CREATE DATABASE {database}")
    await asyncio.gather(
        *(bootstrap_services(postgres_url, database, [service]) for database in databases * 2)
    )
    for database in databases:
        url = url_for(postgres_url, database=database, role=f"{service}_runtime")
        async with connected(url) as runtime:
            assert await runtime.fetchval("SELECT current_schema()") == service


async def test_a_role_without_superuser_can_bootstrap_twice_as_managed_servers_have_it(
    postgres_url,
):
    service = f"service_{secrets.token_hex(4)}"
    operator, database = f"operator_{service}", f"test_{service}"
    async with connected(postgres_url) as admin:
        await admin.execute(f"CREATE ROLE {operator} LOGIN CREATEDB CREATEROLE PASSWORD 'test'")
        before = url_for(postgres_url, database="postgres", role=operator)
        async with connected(before) as managed:
            await managed.execute(f"CREATE DATABASE {database}")
    url = url_for(postgres_url, database=database, role=operator)
    async with connected(url) as managed:
        await bootstrap(managed, service, owner_password=PASSWORD, runtime_password="old")
    owner_url = url_for(postgres_url, database=database, role=f"{service}_owner")
    async with connected(owner_url) as owner:
        await owner.execute("CREATE TABLE notes (id bigserial)")
    async with connected(url) as managed:
        await bootstrap(managed, service, owner_password=PASSWORD, runtime_password=PASSWORD)
    runtime_url = url_for(postgres_url, database=database, role=f"{service}_runtime")
    async with connected(runtime_url) as runtime:
        assert await runtime.fetchval("INSERT INTO notes DEFAULT VALUES RETURNING id") == 1
