"""How many round trips a transaction needs, and which lost connections no caller notices."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from chassis.database import Database, is_infrastructure_error
from chassis.database.pool import PoolTimeoutError
from chassis.deadline import Deadline

from .conftest import end_backends

BEGIN_SELECT_COMMIT = 3
NOTHING = contextlib.nullcontext()


class Wire:
    """A TCP port in front of PostgreSQL: counts clients' messages, and can silence connections."""

    def __init__(self, url):
        self._target = urlsplit(url)
        self._running = set()
        self._flows = {}
        self.opened = 0
        self.sent = 0

    @contextlib.asynccontextmanager
    async def laid(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def url(self):
        role = f"{self._target.username}:{self._target.password}"
        return self._target._replace(netloc=f"{role}@127.0.0.1:{self.port}").geturl()

    @contextlib.contextmanager
    def lost(self, *, seconds, newest=0):
        """Silence the open connections for this long: no data passes, and nothing is closed.

        Args:
            seconds: the time after which they are closed.
            newest: how many connections, of those that were opened last; 0: all.
        """
        lost = dict([*self._flows.items()][-newest:])

        def close_lost():
            for writer in lost:
                writer.close()

        for flows in lost.values():
            flows.clear()
        timer = asyncio.get_running_loop().call_later(seconds, close_lost)
        try:
            yield
        finally:
            timer.cancel()
            close_lost()

    async def closed(self):
        """Wait until both ends have closed every connection."""
        await asyncio.wait(self._running)

    async def _accept(self, reader, writer):
        self.opened += 1
        flows = self._flows[writer] = asyncio.Event()
        flows.set()
        upstream = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._running |= {
            asyncio.create_task(self._pass(reader, upstream[1], flows, counts=True)),
            asyncio.create_task(self._pass(upstream[0], writer, flows, counts=False)),
        }

    async def _pass(self, reader, writer, flows, *, counts):
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await flows.wait()
                self.sent += counts
                writer.write(data)


@pytest.fixture
async def wire(service_database):
    async with Wire(service_database.runtime_url).laid() as wire:
        yield wire


@pytest.fixture
def pool_on(wire, database_settings):
    """Make a pool behind the port; a connection that is silent for a second is given up."""

    def make(*, ping_after):
        given = {
            "database_url": SecretStr(wire.url),
            "database_pool_ping_after": ping_after,
            "database_connect_timeout": 1,
            "database_statement_timeout": 1,
        }
        settings = database_settings.model_copy(update=given)
        return Database(settings=settings, application_name="wired").opened()

    return make


async def select(pool):
    async with pool.transaction() as unit:
        assert await unit.session.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize(("ping_after", "pings"), [(60, 0), (0, 1)])
async def test_a_read_costs_one_round_trip_and_a_ping_where_it_was_idle(
    wire, pool_on, ping_after, pings
):
    async with pool_on(ping_after=ping_after) as pool:
        await select(pool)  # opens the connection, and prepares the statement
        before = wire.sent
        await select(pool)
        assert wire.sent - before == 1 + pings


async def test_a_deadline_costs_no_round_trip(wire, pool_on):
    async with pool_on(ping_after=60) as pool:
        await select(pool)  # opens the connection, and prepares the statement
        before = wire.sent
        async with Deadline(seconds=60), pool.transaction() as unit:
            await unit.begin()
            await unit.session.execute(text("SELECT 1"))
        assert wire.sent - before == BEGIN_SELECT_COMMIT


async def test_a_lock_is_sent_with_the_begin(wire, pool_on):
    async with pool_on(ping_after=60) as pool:
        await select(pool)
        before = wire.sent
        async with pool.transaction() as unit:
            await unit.lock("a")
            await unit.session.execute(text("SELECT 1"))
        assert wire.sent - before == BEGIN_SELECT_COMMIT


async def test_one_request_after_the_other_uses_one_connection_however_many_are_idle(wire, pool_on):
    """A server process that is used often has planned the statements already."""

    async def backend():
        async with pool.transaction() as unit:
            return await unit.session.scalar(text("SELECT pg_backend_pid()"))

    async with pool_on(ping_after=60) as pool:
        async with contextlib.AsyncExitStack() as burst:
            for _ in range(3):
                unit = await burst.enter_async_context(pool.transaction())
                await unit.session.execute(text("SELECT 1"))
        assert wire.opened == 3
        assert len({await backend() for _ in range(5)}) == 1


async def test_idle_connections_that_were_lost_unnoticed_are_all_replaced_before_use(wire, pool_on):
    async with pool_on(ping_after=0) as pool:
        both = asyncio.Barrier(2)

        async def hold():
            async with pool.transaction() as unit:
                await unit.session.execute(text("SELECT 1"))
                await both.wait()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold())
            tasks.create_task(hold())
        assert wire.opened == 2
        with wire.lost(seconds=10):
            await select(pool)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hold())
                tasks.create_task(hold())


async def test_a_connection_that_is_silent_after_a_cancellation_is_closed_alone(wire, pool_on):
    """Its statement may still run: the request to cancel it may have come before it."""

    async def hold():
        async with pool.transaction() as unit:
            await unit.fetch("SELECT 1")
            held.set()
            await silent.wait()
            await unit.fetch("SELECT 1")

    async def backend(unit):
        return await unit.session.scalar(text("SELECT pg_backend_pid()"))

    held, silent = asyncio.Event(), asyncio.Event()
    async with pool_on(ping_after=60) as pool:
        async with pool.transaction() as other:
            before = await backend(other)
            task = asyncio.create_task(hold())
            await held.wait()
            with wire.lost(seconds=10, newest=1):
                silent.set()
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.wait([task])
        async with pool.transaction() as unit:
            assert await backend(unit) == before


@pytest.mark.parametrize(
    ("opened", "lost_in"),
    [("transaction", "statement"), ("transaction", "commit"), ("reading", "statement")],
)
async def test_a_server_that_is_lost_while_a_connection_is_used_is_not_waited_for(
    wire, pool_on, opened, lost_in
):
    """Nothing closes the connection of a host that has vanished; the kernel tries for minutes."""
    async with pool_on(ping_after=60) as pool, asyncio.timeout(30):
        with contextlib.ExitStack() as silence:

            async def lose_it():
                async with getattr(pool, opened)() as unit:
                    await unit.begin()
                    silence.enter_context(wire.lost(seconds=60))
                    if lost_in == "statement":
                        await unit.fetch("SELECT 1")

            with pytest.raises(TimeoutError) as caught:
                await lose_it()
            assert is_infrastructure_error(caught.value)
            assert pool._pool.in_use == 0
            await select(pool)


async def test_a_connection_that_the_server_closed_is_replaced_without_a_ping(
    wire, pool_on, database
):
    async with pool_on(ping_after=60) as pool:
        await select(pool)
        assert await end_backends(database, "wired") == 1
        await wire.closed()
        await select(pool)
        assert wire.opened == 2


@pytest.mark.parametrize(("sslmode", "refused"), [("disable", False), ("require", True)])
async def test_the_urls_sslmode_is_kept_as_postgres_writes_it(
    service_database, database_settings, sslmode, refused
):
    url = f"{service_database.runtime_url}?sslmode={sslmode}"
    settings = database_settings.model_copy(update={"database_url": SecretStr(url)})
    pool = Database(settings=settings, application_name="tests")
    # The tests' server has no certificate.
    expected = pytest.raises(ConnectionError, match="rejected SSL") if refused else NOTHING
    async with pool.opened():
        with expected:
            await select(pool)


@pytest.fixture
def patient(pool_of_one):
    return pool_of_one(60)


@pytest.fixture
def impatient(pool_of_one):
    return pool_of_one(0.1)


async def test_a_request_that_waits_for_a_connection_is_not_overtaken_by_a_later_one(patient):
    """A connection that becomes free goes to the first in the queue, not to a new request."""
    served = []

    async def work(number):
        async with patient.transaction() as unit:
            await unit.session.execute(text("SELECT 1"))
            served.append(number)

    async with patient.opened():
        await work(-1)
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(work(number))
                await asyncio.sleep(0)
    assert served == sorted(served)


async def test_a_wait_for_a_connection_that_times_out_says_why_and_the_next_is_served(impatient):
    message = r"connections \(1\) were in use for 0.1 s: .* DATABASE_POOL_SIZE"
    async with impatient.opened():
        async with impatient.reading():
            with pytest.raises(PoolTimeoutError, match=message):
                async with impatient.reading():
                    pass
        async with impatient.transaction() as unit:
            await unit.session.execute(text("SELECT 1"))


async def test_a_transaction_takes_no_connection_before_its_first_statement(impatient):
    async with impatient.opened(), impatient.transaction(), impatient.transaction() as second:
        await second.fetch("SELECT 1")


async def test_a_request_that_can_not_connect_passes_its_turn_to_the_next(impatient, monkeypatch):
    async with impatient.opened():
        for _ in range(3):
            with monkeypatch.context() as refusing:
                refusing.setattr(asyncpg, "connect", refuse)
                with pytest.raises(ConnectionRefusedError):
                    async with impatient.reading():
                        pass
        async with impatient.transaction() as unit:
            await unit.session.execute(text("SELECT 1"))


async def refuse(*_, **__):
    raise ConnectionRefusedError
