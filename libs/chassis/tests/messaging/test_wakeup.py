"""Hints between processes: sent together, received after a lost connection too."""

import asyncio

import asyncpg
import pytest

from chassis.messaging import Wakeups
from chassis.messaging.wakeup import listen

from .conftest import running, until

CHANNEL = "tests_channel"


@pytest.fixture
def heard():
    return asyncio.Queue()


async def hear(heard, count):
    async with asyncio.timeout(20):
        return [await heard.get() for _ in range(count)]


async def end_connections(service, name):
    """End the backends of an application, and wait until the server has none of them."""
    connection = await asyncpg.connect(service.urls.superuser_url)
    try:
        return await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            name,
        )
    finally:
        await connection.close()


async def test_hints_that_are_equal_are_sent_once_and_in_order(offline, heard):
    async with running(listen(offline.urls.runtime_url, "tests-listen", CHANNEL, heard.put_nowait)):
        assert await hear(heard, 1) == [""]  # what may have been missed before
        for payload in ("a", "b", "a", "c", "b"):
            offline.wakeups.hint(CHANNEL, payload)
        async with running(offline.wakeups.run()):
            assert await hear(heard, 3) == ["a", "b", "c"]
            offline.wakeups.hint(CHANNEL, "a")
            assert await hear(heard, 1) == ["a"]


async def test_a_listener_whose_connection_is_lost_looks_again_and_goes_on_hearing(offline, heard):
    async with running(
        listen(offline.urls.runtime_url, "tests-listen", CHANNEL, heard.put_nowait),
        offline.wakeups.run(),
    ):
        await hear(heard, 1)
        assert await end_connections(offline, "tests-listen") == 1
        assert await hear(heard, 1) == [""]
        offline.wakeups.hint(CHANNEL, "a")
        assert await hear(heard, 1) == ["a"]


async def test_a_sender_whose_connection_is_lost_goes_on_sending(offline, heard):
    async with running(
        listen(offline.urls.runtime_url, "tests-listen", CHANNEL, heard.put_nowait),
        offline.wakeups.run(),
    ):
        await hear(heard, 1)
        offline.wakeups.hint(CHANNEL, "before")
        assert await hear(heard, 1) == ["before"]
        assert await end_connections(offline, "tests-wakeups") == 1

        async def heard_after():  # a hint may be lost with the connection
            offline.wakeups.hint(CHANNEL, "after")
            return not heard.empty()

        await until(heard_after)
        assert await hear(heard, 1) == ["after"]


async def test_hints_too_many_or_too_large_are_dropped():
    wakeups = Wakeups(dsn="postgresql://nowhere", application_name="never run")
    wakeups.hint(CHANNEL, "x" * 8_000)
    assert not wakeups._pending
    for number in range(10_100):
        wakeups.hint(CHANNEL, str(number))
    assert len(wakeups._pending) == 10_000
