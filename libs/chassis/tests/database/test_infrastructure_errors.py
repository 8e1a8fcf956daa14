"""Which errors of a real server count as infrastructure errors, and which as errors of the data."""

import asyncio
import errno
import socket
import ssl

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from chassis.database import Database, is_infrastructure_error
from chassis.database.errors import passes
from chassis.database.pool import PoolTimeoutError
from localservers.ports import free_port

from .conftest import end_backends, settings_for

ADD = text("UPDATE ledgers SET sum = sum + 1 WHERE name = :name")


@pytest.fixture
async def two_ledgers(ledgers):
    async with ledgers.transaction() as unit:
        await unit.session.execute(text("INSERT INTO ledgers VALUES ('a', 0), ('b', 0)"))
    return ledgers


async def run(pool, *statements):
    async with pool.transaction() as unit:
        for statement in statements:
            await unit.session.execute(text(statement))


async def test_a_deadlock_passes(two_ledgers):
    both = asyncio.Barrier(2)

    async def lock(first, second):
        async with two_ledgers.transaction() as unit:
            await unit.session.execute(ADD, {"name": first})
            await both.wait()
            await unit.session.execute(ADD, {"name": second})

    results = await asyncio.gather(lock("a", "b"), lock("b", "a"), return_exceptions=True)
    [error] = [result for result in results if isinstance(result, DBAPIError)]
    assert error.orig is not None
    assert isinstance(error.orig.__cause__, asyncpg.DeadlockDetectedError)
    assert is_infrastructure_error(error)


async def test_a_lock_that_is_not_had_in_time_passes(two_ledgers):
    async with two_ledgers.transaction() as unit:
        await unit.session.execute(ADD, {"name": "a"})
        with pytest.raises(DBAPIError, match="lock timeout") as raised:
            await run(two_ledgers, "SET LOCAL lock_timeout = '10ms'", "LOCK TABLE ledgers")
    assert is_infrastructure_error(raised.value)


async def test_a_serialization_failure_passes(two_ledgers):
    async def conflicting():
        async with two_ledgers.transaction() as unit:
            await unit.session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await unit.session.execute(text("SELECT * FROM ledgers"))
            await run(two_ledgers, "UPDATE ledgers SET sum = 7")
            await unit.session.execute(ADD, {"name": "a"})

    with pytest.raises(DBAPIError, match="could not serialize") as raised:
        await conflicting()
    assert is_infrastructure_error(raised.value)


async def test_a_server_that_takes_no_writes_passes(ledgers):
    with pytest.raises(DBAPIError, match="read-only transaction") as raised:
        await run(ledgers, "SET TRANSACTION READ ONLY", "INSERT INTO ledgers VALUES ('a', 1)")
    assert is_infrastructure_error(raised.value)


@pytest.mark.parametrize(
    "setting", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]
)
async def test_a_time_out_of_the_server_passes(ledgers, setting):
    async def too_long():
        await run(ledgers, f"SET {setting} = '20ms'")  # it holds from the next transaction on
        async with ledgers.transaction() as unit:
            await unit.begin()
            if setting.startswith("idle"):
                await asyncio.sleep(0.1)
            await unit.session.execute(text("SELECT pg_sleep(0.2)"))

    with pytest.raises(DBAPIError) as raised:
        await too_long()
    assert is_infrastructure_error(raised.value)


async def test_a_backend_that_is_ended_passes_and_the_pool_recovers(ledgers):
    with pytest.raises(DBAPIError) as raised:
        await run(ledgers, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_infrastructure_error(raised.value)
    await run(ledgers, "SELECT 1")


async def test_a_pooled_connection_that_was_ended_while_idle_is_replaced_unnoticed(
    ledgers, database
):
    await run(ledgers, "SELECT 1")
    assert await end_backends(database, "tests") >= 1
    await run(ledgers, "SELECT 1")


@pytest.fixture
def nowhere():
    """Return a pool on a port where nothing listens."""
    url = f"postgresql://ledgers_runtime:test@127.0.0.1:{free_port()}/nowhere"
    return Database(settings=settings_for(url), application_name="tests")


async def test_a_refused_connection_passes(nowhere):
    with pytest.raises(OSError, match="Connect call failed") as raised:
        await run(nowhere, "SELECT 1")
    assert is_infrastructure_error(raised.value)


async def test_a_pool_without_a_free_connection_passes(pool_of_one):
    narrow = await asyncio.to_thread(pool_of_one, 0.05)
    async with narrow.opened(), narrow.transaction() as unit:
        await unit.session.execute(text("SELECT 1"))
        with pytest.raises(PoolTimeoutError) as raised:
            await run(narrow, "SELECT 1")
    assert is_infrastructure_error(raised.value)


async def test_a_statement_whose_table_was_migrated_under_it_passes_and_then_works(
    ledgers, database
):
    select = "SELECT * FROM ledgers"
    await run(ledgers, select)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("ALTER TABLE ledgers ADD COLUMN note text")
        with pytest.raises(DBAPIError, match="cached statement plan is invalid") as raised:
            await run(ledgers, select)
        assert is_infrastructure_error(raised.value)
        await run(ledgers, select)
    finally:
        await owner.execute("ALTER TABLE ledgers DROP COLUMN note")
        await owner.close()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO ledgers VALUES ('a', 1), ('a', 1)", IntegrityError),
        ("INSERT INTO ledgers VALUES ('a', 'many')", DBAPIError),
        ("SELECT 1 / 0", DBAPIError),
        ("SELECT * FROM nowhere", ProgrammingError),
        ("SELEC 1", ProgrammingError),
        ("DROP TABLE ledgers", ProgrammingError),
    ],
)
async def test_an_error_of_the_data_or_the_statement_does_not_pass(ledgers, statement, kind):
    with pytest.raises(kind) as raised:
        await run(ledgers, statement)
    assert not is_infrastructure_error(raised.value)


async def test_an_argument_of_a_wrong_type_does_not_pass(ledgers):
    async def use_case():
        async with ledgers.transaction() as unit:
            await unit.session.execute(ADD, {"name": 1})

    with pytest.raises(DBAPIError) as raised:
        await use_case()
    assert not is_infrastructure_error(raised.value)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (asyncio.IncompleteReadError(b"", 1), True),
        (OSError(errno.EHOSTUNREACH, "no route to host"), True),
        (OSError("Multiple exceptions: [Errno 111] one address, [Errno 111] the other"), True),
        (socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution"), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InternalClientError("cannot switch to state 12"), True),
        (asyncpg.InterfaceError("the server expects 2 arguments, 1 was passed"), False),
        (asyncpg.UndefinedTableError('relation "orders" does not exist'), False),
        (asyncpg.InvalidPasswordError("password authentication failed"), False),
    ],
)
def test_errors_of_the_driver_that_no_server_gives_on_demand_are_distinguished(error, passing):
    assert passes(error) is passing


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("smtp"),
        ConnectionResetError(),
        TimeoutError(),
        PoolTimeoutError("of a pool that is not ours"),
        ssl.SSLError("certificate verify failed"),
        socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
        asyncio.IncompleteReadError(b"", 1),
        FileNotFoundError(errno.ENOENT, "no such template"),
        asyncpg.ConnectionDoesNotExistError("of a database that is not ours"),
        ValueError("no number"),
    ],
)
def test_what_the_database_layer_did_not_raise_is_not_infrastructure(error):
    assert not is_infrastructure_error(error)


async def test_an_error_is_known_by_its_layer_whatever_is_raised_because_of_it(nowhere):
    class NotNotifiedError(Exception):
        pass

    async def named():
        try:
            await run(nowhere, "SELECT 1")
        except OSError as error:
            message = "the customer could not be notified"
            raise NotNotifiedError(message) from error

    async def unnamed():
        try:
            await run(nowhere, "SELECT 1")
        except OSError:
            raise NotNotifiedError  # noqa: B904 - a handler may forget it

    async def beside_another():
        async with asyncio.TaskGroup() as group:
            group.create_task(run(nowhere, "SELECT 1"))

    for work in (named, unnamed, beside_another):
        with pytest.raises((NotNotifiedError, ExceptionGroup)) as raised:
            await work()
        assert is_infrastructure_error(raised.value)


async def test_an_error_that_was_dealt_with_is_not_the_reason_of_the_next(nowhere):
    async def fail_for_another_reason():
        try:
            await run(nowhere, "SELECT 1")
        except OSError:
            message = "no number"
            raise ValueError(message) from None

    with pytest.raises(ValueError, match="no number") as raised:
        await fail_for_another_reason()
    assert not is_infrastructure_error(raised.value)


async def test_a_time_limit_is_the_reason_whatever_it_interrupted(nowhere):
    async def give_up_while_it_waits_to_try_again():
        async with asyncio.timeout(0.01):
            try:
                await run(nowhere, "SELECT 1")
            except OSError:
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as raised:
        await give_up_while_it_waits_to_try_again()
    assert not is_infrastructure_error(raised.value)
