"""An error that belongs to the session ends it and all older ones; no other error does.

In each test, an operator changes the settings that new sessions get, and then restores them. The
sessions that were opened in between keep the changed settings.
"""

import asyncio
import contextlib

import asyncpg
import pytest
from sqlalchemy import text

from chassis.database import is_infrastructure_error
from chassis.database.errors import belongs_to_session

from .conftest import SERVICE, end_backends

READ = "SELECT sum FROM ledgers"
WRITE = "INSERT INTO ledgers VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET sum = 2"
CONNECTIONS = 4


async def by_sqlalchemy(pool, statement):
    async with pool.transaction() as unit:
        await unit.session.execute(text(statement))


async def by_the_driver(pool, statement):
    async with pool.transaction() as unit:
        await unit.fetch(statement)


WAYS = pytest.mark.parametrize("run", [by_sqlalchemy, by_the_driver])


async def open_connections(pool, *, statement="SELECT 1"):
    """Use this many connections at once, and return their server processes."""
    all_at_once = asyncio.Barrier(CONNECTIONS)

    async def hold():
        async with pool.transaction() as unit:
            await unit.fetch(statement)
            [row] = await unit.fetch("SELECT pg_backend_pid() AS pid")
            await all_at_once.wait()
            return row["pid"]

    return set(await asyncio.gather(*(hold() for _ in range(CONNECTIONS))))


async def failures(pool, run, statement, *, times=3 * CONNECTIONS):
    """Run a statement as several requests would, one after the other; return the errors."""
    failed = []
    for _ in range(times):
        try:
            await run(pool, statement)
        except Exception as error:  # noqa: BLE001 - the tests look at what it was
            failed.append(error)
    return failed


@pytest.fixture
async def role(service_database):
    """Return a function that changes a setting of the runtime role, in this database."""
    admin = await asyncpg.connect(service_database.superuser_url)
    database = await admin.fetchval("SELECT current_database()")
    prefix = f"ALTER ROLE {SERVICE}_runtime IN DATABASE {database}"

    async def alter(change):
        await admin.execute(f"{prefix} {change}")

    yield alter
    await admin.execute(f"{prefix} RESET ALL")
    await admin.close()


@contextlib.asynccontextmanager
async def opened_during(ledgers, database, role, change):
    """End the pool's sessions, and open new ones while the role has another setting."""
    await open_connections(ledgers)
    await role(f"SET {change}")
    assert await end_backends(database, "tests") == CONNECTIONS
    await open_connections(ledgers)
    yield
    await role(f"RESET {change.split()[0]}")


@WAYS
async def test_of_sessions_that_began_read_only_at_most_one_fails_a_request(
    ledgers, database, role, run
):
    async with opened_during(ledgers, database, role, "default_transaction_read_only = on"):
        await run(ledgers, READ)
    failed = await failures(ledgers, run, WRITE)
    assert len(failed) <= 1
    assert all(is_infrastructure_error(error) for error in failed)


@WAYS
async def test_while_the_role_is_read_only_each_write_fails_and_the_first_one_after_works(
    ledgers, database, role, run
):
    async with opened_during(ledgers, database, role, "default_transaction_read_only = on"):
        failed = await failures(ledgers, run, WRITE)
        assert len(failed) == 3 * CONNECTIONS
    assert await failures(ledgers, run, WRITE) == []


@WAYS
async def test_of_sessions_whose_search_path_leads_nowhere_at_most_one_fails_a_request(
    ledgers, database, role, run
):
    async with opened_during(ledgers, database, role, "search_path = nowhere"):
        pass
    assert len(await failures(ledgers, run, READ)) <= 1


@WAYS
async def test_of_plans_that_a_migration_made_stale_at_most_one_fails_a_request(
    ledgers, database, run
):
    select = "SELECT * FROM ledgers"
    await open_connections(ledgers, statement=select)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("ALTER TABLE ledgers ADD COLUMN note text")
        failed = await failures(ledgers, run, select)
    finally:
        await owner.execute("ALTER TABLE ledgers DROP COLUMN note")
        await owner.close()
    assert len(failed) <= 1
    assert all(is_infrastructure_error(error) for error in failed)


@WAYS
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledgers VALUES ('a', 1), ('a', 1)",
        "SELECT 1 / 0",
        "SELECT nothing FROM ledgers",
        "LOCK TABLE ledgers IN ACCESS EXCLUSIVE MODE NOWAIT",
        "SELECT set_config('statement_timeout', '1ms', true), pg_sleep(1)",
        "SELECT wrong syntax here",
    ],
)
async def test_an_error_of_the_statement_ends_no_connection(ledgers, run, statement):
    before = await open_connections(ledgers)
    assert len(before) == CONNECTIONS
    async with ledgers.transaction() as unit:
        await unit.fetch("LOCK TABLE ledgers IN ACCESS SHARE MODE")
        await failures(ledgers, run, statement, times=CONNECTIONS)
    assert await open_connections(ledgers) == before


async def test_connections_that_are_younger_than_the_error_stay(ledgers, database, role):
    """A request meets the error on an old session, after others have opened new ones."""
    async with opened_during(ledgers, database, role, "default_transaction_read_only = on"):
        pass
    both_begun, young_open = asyncio.Barrier(2), asyncio.Event()

    async def write(*, after):
        async with ledgers.transaction() as unit:
            await unit.fetch(READ)
            await both_begun.wait()
            await after.wait()
            await unit.fetch(WRITE)

    at_once = asyncio.Event()
    at_once.set()
    first = asyncio.create_task(write(after=at_once))
    second = asyncio.create_task(write(after=young_open))
    with contextlib.suppress(asyncpg.ReadOnlySQLTransactionError):
        await first
    young = await open_connections(ledgers)
    young_open.set()
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await second
    assert len(young & await open_connections(ledgers)) >= CONNECTIONS - 2


@pytest.mark.parametrize(
    ("error", "belongs"),
    [
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.InvalidCachedStatementError("cached statement plan is invalid"), True),
        (asyncpg.OutdatedSchemaCacheError("a type was changed"), True),
        (asyncpg.InvalidSQLStatementNameError('"__asyncpg_stmt_1__" does not exist'), True),
        (asyncpg.DuplicatePreparedStatementError('"__asyncpg_stmt_1__" already exists'), True),
        (asyncpg.ProtocolViolationError("bind message supplies 2 parameters"), True),
        (asyncpg.InternalServerError("cache lookup failed for type 1"), True),
        (asyncpg.FeatureNotSupportedError("LISTEN is not supported"), False),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), False),
        (asyncpg.LockNotAvailableError("could not obtain lock"), False),
        (asyncpg.DeadlockDetectedError("deadlock detected"), False),
        (asyncpg.UniqueViolationError("duplicate key"), False),
        (asyncpg.InterfaceError("the server expects 2 arguments, 1 was passed"), False),
    ],
)
def test_errors_of_the_session_and_of_the_statement_are_distinguished(error, belongs):
    assert belongs_to_session(error) is belongs
