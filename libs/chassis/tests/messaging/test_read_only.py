"""After a role was read-only for a while, neither the role nor its old sessions block anything."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text

from chassis.database import is_infrastructure_error
from chassis.database.ids import new_id
from chassis.messaging.events import cloud_event_headers
from chassis.role_names import runtime_role
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE, SOURCE, CounterRaised
from .history import faults

NAMES = [f"counter-{number}" for number in range(4)]


@asynccontextmanager
async def sessions_begin_read_only(urls):
    """End all sessions of the role; new ones begin read-only, and are not ended afterwards."""
    admin = await asyncpg.connect(urls.superuser_url)
    role = runtime_role(SERVICE)
    database = await admin.fetchval("SELECT current_database()")
    change = f"ALTER ROLE {role} IN DATABASE {database}"
    try:
        await admin.execute(f"{change} SET default_transaction_read_only = on")
        await admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE usename = $1 AND datname = current_database()",
            role,
        )
        yield
    finally:
        await admin.execute(f"{change} RESET default_transaction_read_only")
        await admin.close()


async def publish(service, name):
    """Send an event to the topic without the outbox, which is read-only now."""
    service.raised[name] += 1
    event = CounterRaised(counter=name, number=service.raised[name])
    headers = cloud_event_headers(event, event_id=new_id(), source=SOURCE, trace={})
    await service.send(event.to_json(), headers=headers, key=name)


async def open_sessions(pool):
    """Make the pool open one session for each name."""
    all_at_once = asyncio.Barrier(len(NAMES))

    async def hold():
        async with pool.transaction() as unit:
            await unit.session.execute(text("SELECT 1"))
            await all_at_once.wait()

    await asyncio.gather(*(hold() for _ in NAMES))


async def test_relay_consumer_and_writers_go_on_once_the_role_may_write_again(service):
    refused = []

    async def waits():
        return service.metrics.waiting.labels("infrastructure")._value.get() > 0

    async with running(service.relay().run(), service.consumer(session_seconds=2).run()):
        await service.raise_counters(*NAMES)
        await service.until_effects()
        async with sessions_begin_read_only(service.urls):
            await publish(service, "alone")
            await until(waits)
            await open_sessions(service.database)
        for name in NAMES:
            try:
                await service.raise_counters(name)
            except Exception as error:  # noqa: BLE001 - the test checks the error
                refused.append(error)
        await service.until_effects()
        await service.until_published()
    assert len(refused) <= 1
    assert all(is_infrastructure_error(error) for error in refused)
    assert faults(await service.effects(), service.raised) == []
    assert await service.query("SELECT count(*) FROM parked_messages") == [(0,)]
