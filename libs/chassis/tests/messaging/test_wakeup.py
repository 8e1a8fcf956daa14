"""Hints between processes: sent together, and received after a lost connection too."""

import asyncio
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from chassis.database import Connector
from chassis.messaging import Wakeups
from chassis.messaging.wakeup import listen
from testkit.waiting import until

from .conftest import running

CHANNEL = "tests_channel"


@pytest.fixture
def hints():
    return asyncio.Queue()


async def receive(hints, count):
    async with asyncio.timeout(20):
        return [await hints.get() for _ in range(count)]


async def end_connections(service, name):
    """End an application's connections, and wait until the server has none of them."""
    connection = await asyncpg.connect(service.urls.superuser_url)
    try:
        return await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            name,
        )
    finally:
        await connection.close()


def listening(service, hints, *, url=None, **options):
    connector = Connector.to(url or service.urls.runtime_url)
    return listen(connector, "tests-listen", CHANNEL, hints.put_nowait, **options)


async def test_hints_that_are_equal_are_sent_once_and_in_order(offline, hints):
    async with running(listening(offline, hints)):
        assert await receive(hints, 1) == [""]  # for hints that may have been missed before
        for payload in ("a", "b", "a", "c", "b"):
            offline.wakeups.hint(CHANNEL, payload)
        async with running(offline.wakeups.run()):
            assert await receive(hints, 3) == ["a", "b", "c"]
            offline.wakeups.hint(CHANNEL, "a")
            assert await receive(hints, 1) == ["a"]


async def test_equal_hints_with_a_delay_are_sent_once_and_hold_up_no_other(offline, hints):
    async with running(listening(offline, hints), offline.wakeups.run()):
        assert await receive(hints, 1) == [""]
        for _ in range(3):
            offline.wakeups.hint(CHANNEL, "later", delay=timedelta(milliseconds=50))
        offline.wakeups.hint(CHANNEL, "now")
        assert await receive(hints, 2) == ["now", "later"]
        offline.wakeups.hint(CHANNEL, "later", delay=timedelta(milliseconds=1))
        offline.wakeups.hint(CHANNEL, "later")
        assert await receive(hints, 2) == ["later", "later"], "a delayed one holds up its equal"
        assert hints.empty()


async def test_a_listener_whose_connection_is_lost_looks_again_and_goes_on_hearing(offline, hints):
    async with running(
        listening(offline, hints),
        offline.wakeups.run(),
    ):
        await receive(hints, 1)
        assert await end_connections(offline, "tests-listen") == 1
        assert await receive(hints, 1) == [""]
        offline.wakeups.hint(CHANNEL, "a")
        assert await receive(hints, 1) == ["a"]


async def test_a_sender_whose_connection_is_lost_goes_on_sending(offline, hints):
    async with running(
        listening(offline, hints),
        offline.wakeups.run(),
    ):
        await receive(hints, 1)
        offline.wakeups.hint(CHANNEL, "before")
        assert await receive(hints, 1) == ["before"]
        assert await end_connections(offline, "tests-wakeups") == 1

        async def received_after():  # a hint may be lost with the connection
            offline.wakeups.hint(CHANNEL, "after")
            return not hints.empty()

        await until(received_after)
        assert await receive(hints, 1) == ["after"]


async def test_hints_too_many_or_too_large_are_dropped():
    wakeups = Wakeups(connector=Connector.to("postgresql://nowhere"), application_name="never run")
    wakeups.hint(CHANNEL, "x" * 8_000)
    assert not wakeups._pending
    for number in range(10_100):
        wakeups.hint(CHANNEL, str(number))
    assert len(wakeups._pending) == 10_000


@asynccontextmanager
async def line_to(url):
    """Yield a TCP port in front of PostgreSQL, and a function that freezes its connections."""
    place = make_url(url)
    running: set[asyncio.Task[None]] = set()
    flowing: list[asyncio.Event] = []

    async def pump(reader, writer, flows):
        with closing(writer), suppress(OSError):
            while data := await reader.read(65536):
                await flows.wait()
                writer.write(data)

    async def accept(reader, writer):
        upstream = await asyncio.open_connection(place.host, place.port)
        flows = asyncio.Event()
        flows.set()
        flowing.append(flows)
        running.add(asyncio.create_task(pump(reader, upstream[1], flows)))
        running.add(asyncio.create_task(pump(upstream[0], writer, flows)))

    def silence():
        for flows in flowing:
            flows.clear()

    server = await asyncio.start_server(accept, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield place.set(port=port).render_as_string(hide_password=False), silence
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_a_listener_whose_server_falls_silent_connects_again(offline, hints):
    """A host that crashes or is cut off closes nothing: its listener would wait forever."""
    async with (
        line_to(offline.urls.runtime_url) as (url, silence),
        running(
            listening(offline, hints, url=url, check_seconds=0.1),
            offline.wakeups.run(),
        ),
    ):
        assert await receive(hints, 1) == [""]
        silence()
        assert await receive(hints, 1) == [""]
        offline.wakeups.hint(CHANNEL, "after")
        assert await receive(hints, 1) == ["after"]
