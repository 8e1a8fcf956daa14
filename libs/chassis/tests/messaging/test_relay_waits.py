"""What the relay waits for: tables, a server that takes writes, Kafka; and what it tells then."""

import time

import asyncpg
import pytest
from structlog.testing import capture_logs

from .conftest import running, until


@pytest.fixture
def logs():
    with capture_logs() as entries:
        yield entries


def warnings(logs, text):
    return [entry for entry in logs if entry["log_level"] == "warning" and text in entry["event"]]


async def as_owner(service, statement):
    connection = await asyncpg.connect(service.urls.owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_relay_that_starts_before_the_migrations_waits_for_them_and_says_so(service, logs):
    async def told():
        return bool(warnings(logs, "apply the service's migrations"))

    await service.raise_counters("a")
    await as_owner(service, "ALTER TABLE outbox RENAME TO not_yet")
    try:
        async with running(service.relay().run()):
            await until(told)
            await as_owner(service, "ALTER TABLE not_yet RENAME TO outbox")
            await service.until_published()
    finally:
        await as_owner(service, "ALTER TABLE IF EXISTS not_yet RENAME TO outbox")
    assert len(warnings(logs, "migrations")) < 5


async def test_a_server_that_takes_no_writes_is_not_relayed_from(service, logs):
    """What is sent could not be deleted there, and would be sent again and again."""

    async def told():
        return len(warnings(logs, "relay waits for PostgreSQL")) > 1

    await service.raise_counters("a")
    standby = f"{service.urls.runtime_url}?default_transaction_read_only=on"
    async with running(service.relay(dsn=standby).run()):
        await until(told)
    assert "read-only" in warnings(logs, "relay waits for PostgreSQL")[0]["error"]
    async with running(service.relay().run()):
        await service.until_published()
    assert len(await service.topics.read("counters", 1)) == 1
    assert service.relay_metrics.latency._sum.get() > 0


async def test_while_kafka_is_away_nothing_is_read_and_the_backlog_is_told(offline, logs):
    async def tried_again_and_again():
        return len(warnings(logs, "relay waits for Kafka")) > 3

    begun = time.monotonic()
    await offline.raise_counters("a", "b", "c")
    async with running(offline.relay().run()):
        await until(tried_again_and_again)
    assert time.monotonic() - begun > 0.1 + 0.2 + 0.5  # it waits longer each time
    assert offline.relay_metrics.backlog._value.get() == 3
    assert offline.relay_metrics.oldest._value.get() > 0
