"""The relay: committed rows reach Kafka, in the order of each key, at least once."""

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text

from chassis.database import Connector
from chassis.messaging import Wakeups

from .conftest import running
from .counting import CounterAudited, CounterRaised
from .history import faults
from .lanes import lane


def events(records):
    return [(record.key.decode(), json.loads(record.value)["number"]) for record in records]


@asynccontextmanager
async def superuser(service):
    connection = await asyncpg.connect(service.urls.superuser_url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_events_of_each_key_reach_kafka_once_and_in_the_order_of_its_commits(service):
    names = [f"counter-{number}" for number in range(30)]
    async with running(service.relay(page_rows=50).run()):
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
            await late.session.execute(
                text(
                    "INSERT INTO outbox (id, topic, key, type, headers, payload) VALUES"
                    " (gen_random_uuid(), 'counters', 'late', 'any', '{}', '{\"number\": 1}')"
                )
            )
            await service.raise_counters("early")
            await service.until_published()  # all that is committed, without the late row
            assert events(await service.topics.read("counters", 1)) == [("early", 1)]
        await service.until_published()
    both = events(await service.topics.read("counters", 2))
    assert set(both) == {("early", 1), ("late", 1)}


_CRASH_AT_FIRST_DELETE = """
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


@asynccontextmanager
async def crash_at_first_delete(service):
    async with superuser(service) as admin:
        await admin.execute(_CRASH_AT_FIRST_DELETE)
        try:
            yield
        finally:
            await admin.execute(
                "DROP TRIGGER crash ON counters.outbox; DROP FUNCTION counters.crash();"
                "DROP SEQUENCE counters.deletes"
            )


async def test_a_crash_between_acknowledgement_and_delete_sends_twice_and_loses_nothing(service):
    async with crash_at_first_delete(service):
        await service.raise_counters("a", "b", "a")
        async with running(service.relay().run()):
            await service.until_published()
    sent = Counter(events(await service.topics.read("counters", 6)))
    assert sent == {("a", 1): 2, ("b", 1): 2, ("a", 2): 2}


async def test_a_crash_while_a_page_is_deleted_and_the_next_is_sent_sends_both_twice_in_order(
    service,
):
    await service.raise_counters(*["a"] * 6)
    async with crash_at_first_delete(service), running(service.relay(page_rows=2).run()):
        await service.until_published()
    sent = events(await service.topics.read("counters", 10))
    assert [number for _, number in sent] == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]


async def test_while_old_transactions_keep_the_position_back_no_acknowledged_row_is_sent_again(
    service,
):
    """Between the acknowledgement of a page and its delete the relay reads the next one."""
    async with service.database.transaction() as old:
        await old.fetch("SELECT pg_current_xact_id()")
        await service.raise_counters(*["a"] * 9)
        async with running(service.relay(page_rows=2).run()):
            await service.until_published()
            await service.raise_counters("a")
            await service.until_published()
    sent = events(await service.topics.read("counters", 10))
    assert [number for _, number in sent] == list(range(1, 11))


async def test_a_relay_with_nothing_more_to_send_has_deleted_what_it_sent(service):
    """Before it waits, and before it gives shards to another relay."""
    await service.raise_counters(*["a"] * 3)
    async with lane(service, page_rows=2) as relaying:
        await relaying._keep_up()
        async with relaying._publisher(15) as publisher:
            assert await relaying._publish_page(publisher) == (False, True)
            assert await service.backlog() == 3
            assert await relaying._publish_page(publisher) == (False, False)
            assert await service.backlog() == 0
            await service.raise_counters(*["a"] * 3)
            assert await relaying._publish_page(publisher) == (False, True)
            assert await service.backlog() == 3
            relaying._balance_due = 0.0
            await relaying._keep_up()
            assert await service.backlog() == 1


async def test_a_hint_wakes_the_relay_long_before_its_poll(service):
    async with running(service.relay(poll_seconds=600).run()):
        for _ in range(3):
            await service.raise_counters("a")
            await service.until_published()


async def test_an_event_whose_hint_is_lost_is_found_by_the_poll(service):
    service.wakeups = Wakeups(
        connector=Connector.to("postgresql://nowhere"), application_name="never run"
    )
    async with running(service.relay(poll_seconds=0.2).run()):
        for _ in range(3):
            await service.raise_counters("a")
            await service.until_published()


async def test_a_page_ends_where_its_payloads_become_large(service):
    """So a backlog of large events does not need much memory."""
    await service.raise_counters(*["a"] * 30, filler="x" * 800_000)
    async with lane(service) as reading:
        await reading._keep_up()
        page = await reading._unsent.read_page(0)
    assert 8_000_000 <= sum(len(row.payload) for row in page.rows) < 9_000_000
    assert page.more
    async with running(service.relay().run()):
        await service.until_published()
    assert faults(events(await service.topics.read("counters", 30)), service.raised) == []


async def test_a_topic_that_is_missing_holds_up_its_own_events_only(service):
    async with service.database.transaction() as unit:
        service.outbox(unit).add(CounterAudited(counter="a", number=1))
    await service.raise_counters("a")
    async with running(service.relay(poll_seconds=0.2).run()):
        assert events(await service.topics.read("counters", 1)) == [("a", 1)]
        await service.until_published(but=1)
        await service.topics.create(["audits"])
        assert events(await service.topics.read("audits", 1)) == [("a", 1)]


async def test_backlog_and_age_of_the_oldest_row_are_shown(service):
    await service.raise_counters("a", "b")
    async with lane(service) as measuring:
        await measuring._keep_up()
    assert service.sample("outbox_backlog_rows") == 2
    assert (service.sample("outbox_oldest_row_age_seconds") or 0) > 0
    async with running(service.relay().run()):
        await service.until_published()
    topic = service.relay_metrics.published.labels(CounterRaised.topic.name)
    assert topic._value.get() == 2
