"""Several relays at once, and events between two steps of one: no loss, no inversion."""

import json
import os
import signal

import asyncpg
import pytest
from sqlalchemy import text

from chassis.database import Connector
from chassis.messaging.publishing.lane import Pace
from chassis.messaging.publishing.relay import session_settings
from testkit.waiting import until

from .conftest import running
from .counting import CounterAudited, CounterRaised
from .history import faults
from .lanes import NAME, lane
from .processes import events_all_the_while, relay_process

NAMES = [f"counter-{number}" for number in range(40)]
HOLDERS = """
    SELECT a.pid, count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ExclusiveLock' AND l.granted
        AND a.datname = current_database() AND a.application_name = $1
    GROUP BY a.pid ORDER BY 2
"""


def events(records):
    return [(record.key.decode(), json.loads(record.value)["number"]) for record in records]


def first_times(occurred):
    """Return what a consumer with an inbox handles: repetitions are left out."""
    return list(dict.fromkeys(occurred))


async def shares(service):
    return [number for _, number in await service.query(HOLDERS, NAME)]


async def end_backends(service, pids):
    admin = await asyncpg.connect(service.urls.superuser_url)
    try:
        await admin.execute("SELECT pg_terminate_backend(p, 5000) FROM unnest($1::int[]) p", pids)
    finally:
        await admin.close()


async def test_relays_that_come_and_go_share_the_keys_and_send_each_event_once(service):
    async def shared(*expected):
        return await shares(service) == list(expected)

    pace = {"page_rows": 20, "poll_seconds": 0.05}
    async with running(service.relay(**pace).run()):
        await until(lambda: shared(16))
        async with running(service.relay(**pace).run()):
            async with events_all_the_while(service, NAMES):
                await until(lambda: shared(8, 8))
                await service.raise_counters(*NAMES)
            await service.until_published()  # a relay that is stopped in between may send twice
        async with events_all_the_while(service, NAMES):
            await until(lambda: shared(16))
            await service.raise_counters(*NAMES)
        await service.until_published()
    number = service.raised.total()
    assert faults(events(await service.topics.read("counters", number)), service.raised) == []


async def test_a_relay_that_lost_its_session_after_reading_sends_repetitions_only(service):
    """Between its reading and its sending, its successor sends the same rows, and more."""
    await service.raise_counters(*NAMES[:5], *NAMES[:5])
    async with lane(service) as first:
        await first._keep_up()
        page = await first._unsent.read_page(0)
        [(pid, _)] = await service.query(HOLDERS, NAME)
        await end_backends(service, [pid])
        async with running(service.relay().run()):
            await service.raise_counters(*NAMES[:5])
            await service.until_published()
        async with first._publisher(15) as publisher:
            published = await publisher.publish(page.rows)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await first._unsent.delete(published.acknowledged)
    records = events(await service.topics.read("counters", 25))
    assert len(set(records)) == 15
    assert faults(first_times(records), service.raised) == []


async def test_a_relay_that_lost_its_session_between_sending_and_deleting_is_followed_up(service):
    await service.raise_counters(*NAMES[:5], *NAMES[:5])
    async with lane(service) as first:
        await first._keep_up()
        page = await first._unsent.read_page(0)
        async with first._publisher(15) as publisher:
            await publisher.publish(page.rows)
        [(pid, _)] = await service.query(HOLDERS, NAME)
        await end_backends(service, [pid])
        async with running(service.relay().run()):
            await service.raise_counters(*NAMES[:5])
            await service.until_published()
    records = events(await service.topics.read("counters", 25))
    assert faults(first_times(records), service.raised) == []


async def test_a_relay_that_is_killed_in_mid_flow_leaves_its_keys_to_the_other(service):
    async def both():
        return await shares(service) == [8, 8]

    async with running(service.relay(poll_seconds=0.1).run()):
        async with relay_process(service) as process, events_all_the_while(service, NAMES):
            await until(both)
            process.kill()
            await process.wait()
            await service.raise_counters(*NAMES)
        await service.until_published()
    await sent_in_order(service)


async def test_a_relay_that_is_frozen_loses_its_keys_and_repeats_at_most_when_it_wakes(service):
    """PostgreSQL keeps the session of a frozen client, so the idle time-out must end it."""

    async def held_by(number):
        return len(await shares(service)) == number

    async with running(service.relay(poll_seconds=0.1).run()):
        async with relay_process(service) as process, events_all_the_while(service, NAMES):
            await until(lambda: held_by(2))
            os.kill(process.pid, signal.SIGSTOP)
            try:
                await until(lambda: held_by(1))
                await service.raise_counters(*NAMES)
            finally:
                os.kill(process.pid, signal.SIGCONT)
            await until(lambda: held_by(2))
        await service.until_published()
    await sent_in_order(service)


@pytest.mark.parametrize("frozen_in", ["idle", "between prepare and use"])
async def test_a_session_whose_relay_is_frozen_ends_with_its_locks(service, frozen_in):
    """Between a Flush and the Sync that follows it the session is not idle."""
    settings = session_settings(Pace(frozen_seconds=0.3))
    connector = Connector.to(service.urls.runtime_url)
    async with connector.opened("frozen", settings=settings) as connection:
        await connection.execute("SELECT pg_advisory_lock(30)")
        if frozen_in != "idle":
            await connection.prepare("SELECT 17")
        await until(connection.is_closed)


async def test_the_commits_of_a_relays_session_do_not_wait_for_the_disk(service):
    connector = Connector.to(service.urls.runtime_url)
    async with connector.opened("relay", settings=session_settings(Pace())) as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "off"


async def sent_in_order(service):
    """Assert that the topic holds each event, in order except for repetitions."""
    wanted = service.raised.total()
    records = await service.topics.read("counters", wanted)
    while len(set(events(records))) < wanted:
        records = await service.topics.read("counters", len(records) + 1)
    assert faults(first_times(events(records)), service.raised) == []


async def test_the_event_that_follows_a_late_one_of_its_key_does_not_overtake_it(service):
    """Between two reads: the first does not see the late event, the second sees its successor."""
    async with lane(service) as relaying:
        await relaying._keep_up()
        async with relaying._publisher(15) as publisher:
            async with service.database.transaction() as late:
                insert = text(
                    "INSERT INTO outbox (id, topic, key, type, headers, payload) VALUES"
                    " (gen_random_uuid(), 'counters', 'late', 'any', '{}', '{\"number\": 1}')"
                )
                await late.session.execute(insert)
                await service.raise_counters("early", "early")
                await relaying._publish_page(publisher)
                await relaying._publish_page(publisher)
            async with service.database.transaction() as unit:
                service.outbox(unit).add(CounterRaised(counter="late", number=2))
            await relaying._publish_page(publisher)
    records = events(await service.topics.read("counters", 4))
    assert [number for key, number in records if key == "late"] == [1, 2]


async def test_urgent_topics_do_not_wait_behind_the_others(service):
    """Here the others can't be sent at all: an idle connection holds their shards."""
    await service.topics.create(["audits"])
    async with lane(service) as idle:
        await idle._shards.balance()
        await service.raise_counters(*NAMES)
        async with service.database.transaction() as unit:
            service.outbox(unit).add(CounterAudited(counter="a", number=1))
        async with running(service.relay(urgent_topics=["audits"]).run()):
            assert events(await service.topics.read("audits", 1)) == [("a", 1)]
            await service.until_published(but=len(NAMES))
            await idle._connection.close()
            await service.until_published()
