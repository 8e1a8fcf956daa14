"""Where the relay reads on: never beyond rows that may still appear, and past dead rows."""

import json
import time

import asyncpg
import pytest
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from chassis.messaging import declare_messaging_tables
from chassis.messaging.publishing.lane import Pace
from chassis.messaging.publishing.publisher import Published, Publisher
from chassis.messaging.publishing.scan import Settled
from chassis.messaging.publishing.unsent import _READ, OutboxPage, topics_in
from testkit.waiting import until

from .lanes import lane


def snapshot(oldest_running, next_transaction, newest):
    return OutboxPage(
        rows=[],
        more=False,
        oldest_running=oldest_running,
        next_transaction=next_transaction,
        newest=newest,
    )


def test_where_nothing_runs_all_is_settled():
    settled = Settled()
    settled.learn(snapshot(100, 100, 7))
    assert settled.seq == 7


def test_what_was_seen_is_settled_once_all_that_ran_then_have_ended():
    settled = Settled()
    settled.learn(snapshot(90, 100, 7))
    assert settled.seq == 0
    settled.learn(snapshot(99, 120, 9))  # transaction 99 was running at that time
    assert settled.seq == 0
    settled.learn(snapshot(100, 130, 12))
    assert settled.seq == 7
    settled.learn(snapshot(129, 140, 15))
    assert settled.seq == 7
    settled.learn(snapshot(130, 150, 20))
    assert settled.seq == 12


class Willing(Publisher):
    """A publisher that acknowledges all rows."""

    def __init__(self):
        pass

    async def publish(self, rows, **_):
        return Published(acknowledged=rows, places=[("counters", 0)], refused=[])


ROWS = 100_000
FILL = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT gen_random_uuid(), 'counters', 'counter-' || n % 200, 'any', '{}', '{}'
    FROM generate_series(1, $1) n
"""


async def buffers_of_a_page(connection, after, topics="true"):
    """Return how many buffers PostgreSQL reads for a page after `after`."""
    sql = _READ.replace("{conditions}", topics)
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", after, Pace().page_rows, 8_000_000
    )
    plan = json.loads(explained)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def test_dead_rows_under_an_old_snapshot_are_read_once_a_second_only(offline):
    reader = await asyncpg.connect(offline.urls.superuser_url)  # the service's role may not idle
    try:
        old = reader.transaction(isolation="repeatable_read")
        await old.start()
        await reader.fetchval("SELECT count(*) FROM counters.outbox")
        await offline.query(FILL, ROWS)
        async with lane(offline) as relaying:
            await relaying._keep_up()
            while await offline.backlog():
                relaying._scan._next_full = float("inf")  # no full scan from now on
                await relaying._publish_page(Willing())
            await offline.query(FILL, 10)
            read_on = await buffers_of_a_page(relaying._connection, relaying._scan.start())
            in_full = await buffers_of_a_page(relaying._connection, 0)
        await old.rollback()
    finally:
        await reader.close()
    assert in_full > ROWS // 100
    assert read_on < in_full / 10


async def test_rows_that_are_not_ours_to_send_are_passed_over_once(offline):
    """For example rows of a topic that waits, or of other relays' shards."""
    await offline.query(FILL, 100)
    async with lane(offline) as relaying:
        await relaying._keep_up()
        nothing = Published(acknowledged=[], places=[], refused=[])

        async def passed():  # this takes longer while transactions of other tests run
            start = relaying._scan.start()
            page = await relaying._unsent.read_page(start, but_topics=["counters"])
            assert page.rows == []
            assert not relaying._scan.advance(page, nothing, seconds=0.0)
            return relaying._scan._position == 100

        await until(passed)


async def test_urgent_topics_are_found_past_a_backlog_by_their_index(offline):
    urgent = MetaData()
    declare_messaging_tables(urgent, urgent_topics=["audits"])
    [index] = urgent.tables["outbox"].indexes
    admin = await asyncpg.connect(offline.urls.superuser_url)
    try:
        create = CreateIndex(index).compile(dialect=postgresql.dialect())
        await admin.execute(f"SET search_path = counters; {create}")
        await offline.query(FILL, 20_000)
        async with lane(offline) as relaying:
            found = await buffers_of_a_page(relaying._connection, 0, topics_in(["audits"]))
        assert found < 20
    finally:
        await admin.execute("DROP INDEX ix_outbox_urgent")
        await admin.close()


async def test_a_topic_whose_name_would_be_sql_is_refused():
    with pytest.raises(ValueError, match="can't be a Kafka topic"):
        topics_in(["a') OR true --"])


async def test_after_a_pause_of_the_process_the_outbox_is_measured_and_scanned_within_a_minute(
    offline,
):
    """A measurement that seems to take minutes would be made again only after hours."""
    frozen = 600
    async with lane(offline) as relaying:
        await relaying._keep_up()
        await relaying._measure(time.monotonic() - frozen)
        page = await relaying._unsent.read_page(relaying._scan.start())
        nothing = Published(acknowledged=[], places=[], refused=[])
        relaying._scan._begun -= frozen
        relaying._scan.advance(page, nothing, seconds=frozen)
        now = time.monotonic()
    assert now < relaying._gauges_due <= now + 60
    assert now < relaying._scan._next_full <= now + 10
