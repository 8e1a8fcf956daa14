"""What the relay waits for: tables, a writable server, Kafka; and what it logs."""

import time

from testkit.waiting import until

from .conftest import running


def failures(logs, work):
    return [
        entry
        for entry in logs
        if entry["event"] == "work failed, retrying" and entry["work"] == f"counters-{work}"
    ]


async def test_a_relay_that_starts_before_the_migrations_waits_for_them_and_says_so(service, logs):
    async def failure_logged():
        return bool(failures(logs, "relay"))

    await service.raise_counters("a")
    await service.urls.run_as_owner("ALTER TABLE outbox RENAME TO not_yet")
    try:
        async with running(service.relay().run()):
            await until(failure_logged)
            await service.urls.run_as_owner("ALTER TABLE not_yet RENAME TO outbox")
            await service.until_published()
    finally:
        await service.urls.run_as_owner("ALTER TABLE IF EXISTS not_yet RENAME TO outbox")
    logged = failures(logs, "relay")
    assert all("Apply the service's migrations" in entry["error"] for entry in logged)
    assert len(logged) < 5


async def test_a_server_that_takes_no_writes_is_not_relayed_from(service, logs):
    """The relay could not delete what it sends, and would send it again and again."""

    async def failure_logged():
        return len(failures(logs, "relay")) > 1

    await service.raise_counters("a")
    standby = f"{service.urls.runtime_url}?default_transaction_read_only=on"
    async with running(service.relay(dsn=standby).run()):
        await until(failure_logged)
    assert "read-only" in failures(logs, "relay")[0]["error"]
    async with running(service.relay().run()):
        await service.until_published()
    assert len(await service.topics.read("counters", 1)) == 1
    assert service.relay_metrics.latency._sum.get() > 0


async def test_while_kafka_is_unavailable_nothing_is_read_and_the_backlog_is_shown(offline, logs):
    async def tried_again_and_again():
        return len(failures(logs, "relay to Kafka")) > 3

    begun = time.monotonic()
    await offline.raise_counters("a", "b", "c")
    async with running(offline.relay().run()):
        await until(tried_again_and_again)
    assert time.monotonic() - begun > 0.1 + 0.2 + 0.5  # each wait is longer than the last
    assert offline.sample("outbox_backlog_rows") == 3
    assert (offline.sample("outbox_oldest_row_age_seconds") or 0) > 0
