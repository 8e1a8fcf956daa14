"""The relay: what is committed reaches Kafka, in the order of each key, at least once."""

import asyncio
import json
import secrets
from collections import Counter, defaultdict
from contextlib import asynccontextmanager

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from sqlalchemy import text

from chassis.messaging import Wakeups
from chassis.testing.databases import PASSWORD, url_for

from .conftest import counting_service, running, until
from .counting import CounterAudited, CounterRaised
from .history import faults
from .partitions import PARTITIONS, keys_of

SMALL = 2_000


def events(records):
    return [(record.key.decode(), json.loads(record.value)["number"]) for record in records]


@asynccontextmanager
async def superuser(service):
    connection = await asyncpg.connect(service.urls.superuser_url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def administering(topics):
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def test_events_of_each_key_reach_kafka_once_and_in_the_order_of_its_commits(service):
    names = [f"counter-{number}" for number in range(30)]
    async with running(service.relay(batch_rows=50).run()):
        await asyncio.gather(*(service.raise_counters(*[name] * 10) for name in names))
        await service.until_published()
    records = await service.topics.read("counters", 300)
    assert faults(events(records), service.raised) == []
    places = defaultdict(set)
    for record in records:
        places[record.key].add(record.partition)
    assert all(len(partitions) == 1 for partitions in places.values())


async def test_a_row_that_commits_late_with_a_lower_seq_is_published(service):
    async with running(service.relay(poll_seconds=0.1).run()):
        async with service.database.transaction() as late:
            await late.execute(
                text(
                    "INSERT INTO outbox (id, topic, key, type, headers, payload) VALUES"
                    " (gen_random_uuid(), 'counters', 'late', 'any', '{}', '{\"number\": 1}')"
                )
            )
            await service.raise_counters("early")
            await service.until_published()  # sees what is committed: all but the late row
            assert events(await service.topics.read("counters", 1)) == [("early", 1)]
        await service.until_published()
    both = events(await service.topics.read("counters", 2))
    assert set(both) == {("early", 1), ("late", 1)}


async def test_a_crash_between_acknowledgement_and_delete_sends_twice_and_loses_nothing(service):
    async with superuser(service) as admin:
        await admin.execute(
            """
            CREATE SEQUENCE counters.deletes;
            CREATE FUNCTION counters.crash() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF nextval('counters.deletes') = 1 THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER crash BEFORE DELETE ON counters.outbox EXECUTE FUNCTION counters.crash();
            """
        )
        try:
            await service.raise_counters("a", "b", "a")
            async with running(service.relay().run()):
                await service.until_published()
        finally:
            await admin.execute(
                "DROP TRIGGER crash ON counters.outbox; DROP FUNCTION counters.crash();"
                "DROP SEQUENCE counters.deletes"
            )
    sent = Counter(events(await service.topics.read("counters", 6)))
    assert sent == {("a", 1): 2, ("b", 1): 2, ("a", 2): 2}


async def lock_holder(admin):
    """The role whose connection holds the relay's lock."""
    return await admin.fetchval(
        "SELECT a.usename FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()"
    )


async def test_a_second_relay_waits_and_takes_over_when_the_firsts_connection_dies(service):
    role = f"relay_{secrets.token_hex(4)}"
    database = service.urls.superuser_url.rpartition("/")[2]
    first_dsn = url_for(service.urls.superuser_url, database=database, role=role)
    async with superuser(service) as admin:
        await admin.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' IN ROLE counters_runtime;"
            f"ALTER ROLE {role} SET search_path = counters"
        )

        async def held_by(expected):
            holder = await lock_holder(admin)
            if holder == role != expected:
                await admin.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    f" WHERE usename = '{role}'"
                )
            return holder == expected

        async with running(service.relay(dsn=first_dsn).run()):
            await until(lambda: held_by(role))
            async with running(service.relay(poll_seconds=0.05).run()):
                await service.raise_counters("a", "b")
                await service.until_published()
                assert await lock_holder(admin) == role
                await until(lambda: held_by("counters_runtime"))
                await service.raise_counters("a", "b")
                await service.until_published()
    # The first one was cut off when it had nothing in hand: so nothing came twice.
    assert faults(events(await service.topics.read("counters", 4)), service.raised) == []


async def test_a_hint_wakes_the_relay_long_before_its_poll(service):
    async with running(service.relay(poll_seconds=600).run()):
        for _ in range(3):
            await service.raise_counters("a")
            await service.until_published()


async def test_an_event_whose_hint_is_lost_is_found_by_the_poll(service):
    service.wakeups = Wakeups(dsn="postgresql://nowhere", application_name="never run")
    async with running(service.relay(poll_seconds=0.2).run()):
        for _ in range(3):
            await service.raise_counters("a")
            await service.until_published()


async def test_a_page_ends_where_its_payloads_become_large(service):
    """So a backlog of large events is no question of memory."""
    await service.raise_counters(*["a"] * 30, filler="x" * 800_000)
    relay = service.relay()
    connection = await asyncpg.connect(service.urls.runtime_url)
    try:
        rows, more = await relay._read(connection)
    finally:
        await connection.close()
    assert 8_000_000 <= sum(len(row.payload) for row in rows) < 9_000_000
    assert more
    async with running(relay.run()):
        await service.until_published()
    assert faults(events(await service.topics.read("counters", 30)), service.raised) == []


async def small_topic(topics):
    """A topic that takes small batches only, and how to lift that limit."""
    name = topics.prefix + "counters"
    async with administering(topics) as admin:
        limit = {"max.message.bytes": str(SMALL)}
        await admin.create_topics([NewTopic(name, len(PARTITIONS), 1, topic_configs=limit)])

    async def lift():
        async with administering(topics) as admin:
            wide = {"max.message.bytes": "1000000"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, wide)])

    return lift


@pytest.fixture
async def narrow(database, database_settings, topics):
    """The service on a topic that takes small batches only."""
    lift = await small_topic(topics)
    async with (
        counting_service(database, database_settings, topics) as counting,
        running(counting.wakeups.run()),
    ):
        yield counting, lift


async def test_a_refused_event_stops_its_partition_and_no_other_until_it_is_taken(narrow):
    service, lift = narrow
    [stopped, neighbour], [free] = keys_of(0, 2), keys_of(1, 1)
    await service.raise_counters(stopped)
    await service.raise_counters(stopped, filler="x" * SMALL)
    # More than two pages wait behind it: the events of other partitions lie beyond.
    await service.raise_counters(*[stopped, neighbour] * 6, free)
    async with running(service.relay(batch_rows=5, poll_seconds=0.2).run()):
        assert {(stopped, 1), (free, 1)} == set(events(await service.topics.read("counters", 2)))
        for _ in range(3):  # and they go on, while the refused one is tried again and again
            await service.raise_counters(free)
        records = await service.topics.read("counters", 5)
        assert [event for event in events(records) if event[0] == stopped] == [(stopped, 1)]
        assert [number for key, number in events(records) if key == free] == [1, 2, 3, 4]
        await service.until_published(but=13)
        await lift()
        await service.until_published()
    every = events(await service.topics.read("counters", service.raised.total()))
    assert faults(every, service.raised) == []


async def test_events_that_are_too_large_only_together_go_one_by_one(narrow):
    service, _ = narrow
    await service.raise_counters(*["a", "b", "c"] * 20, filler="x" * (SMALL // 4))
    async with running(service.relay().run()):
        await service.until_published()
    assert faults(events(await service.topics.read("counters", 60)), service.raised) == []


async def test_a_topic_that_is_missing_holds_up_its_own_events_only(service):
    async with service.database.transaction() as session:
        service.outbox(session).add(CounterAudited(counter="a", number=1))
    await service.raise_counters("a")
    async with running(service.relay(poll_seconds=0.2).run()):
        assert events(await service.topics.read("counters", 1)) == [("a", 1)]
        await service.until_published(but=1)
        await service.topics.create(["audits"])
        assert events(await service.topics.read("audits", 1)) == [("a", 1)]


async def test_backlog_and_age_of_the_oldest_row_are_told(service):
    await service.raise_counters("a", "b")
    relay = service.relay()
    connection = await asyncpg.connect(service.urls.runtime_url)
    try:
        await relay._measure(connection)
        assert service.relay_metrics.backlog._value.get() == 2
        assert service.relay_metrics.oldest._value.get() > 0
    finally:
        await connection.close()
    async with running(relay.run()):
        await service.until_published()
    topic = service.relay_metrics.published.labels(CounterRaised.topic.name)
    assert topic._value.get() == 2
