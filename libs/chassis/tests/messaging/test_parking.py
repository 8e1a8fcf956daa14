"""A message that fails waits in a queue of its key, later ones behind it; other keys go on."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from chassis.messaging import FailurePolicy, Subscription, Subscriptions
from chassis.messaging.consuming.parking import Parking
from testkit.waiting import until

from .conftest import running
from .counting import SERVICE, CounterAdmired, CounterAudited, CounterRaised, record
from .messages import message, raised, raw

AT_ONCE = FailurePolicy(attempts=3, first_delay=0)
QUEUES = "SELECT key, state, blocking FROM parked_keys ORDER BY id"
WAITING = "SELECT convert_from(key, 'utf8'), log_offset, attempts FROM parked_messages ORDER BY seq"
LOCK_WAITERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


class FailingFor:
    """A handler that fails for some numbers until it is switched off."""

    def __init__(self, *refused, error=ValueError):
        self.refused = set(refused)
        self.tried = []
        self._error = error

    async def __call__(self, event, delivery):
        self.tried.append((event.counter, event.number))
        await record(event, delivery)
        if event.number in self.refused:
            message = f"{event.number} is refused"
            raise self._error(message)


async def drain(retries):
    """Retry until no queue is due."""
    while await retries.work_one():
        pass


async def test_later_messages_of_a_parked_key_wait_behind_it_and_other_keys_go_on(offline):
    runner = offline.runner(FailingFor(1))
    assert await runner.run([*raised(1, 2), *raised(9, counter="b")]) == (3, None)
    assert await runner.run([*raised(3), *raised(10, counter="b")]) == (2, None)
    assert await offline.effects() == [("b", 9), ("b", 10)]
    assert await offline.query(QUEUES) == [("a", "retrying", True)]
    assert await offline.query(WAITING) == [("a", 1, 1), ("a", 2, 0), ("a", 3, 0)]
    inbox = "SELECT outcome, count(*) FROM inbox GROUP BY 1 ORDER BY 1"
    assert await offline.query(inbox) == [("done", 2), ("parked", 3)]


async def test_a_queue_is_worked_in_order_and_closed_when_it_is_empty(offline):
    handler = FailingFor(1)
    await offline.runner(handler, failure=AT_ONCE).run(raised(1, 2, 3))
    handler.refused.clear()
    await drain(offline.retries(handler, failure=AT_ONCE))
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3)]
    assert await offline.query(QUEUES) == []
    assert await offline.query("SELECT DISTINCT outcome FROM inbox") == [("done",)]
    assert await offline.runner().run(raised(1, 2, 3, 4)) == (4, None)
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]


async def cancelled_by_a_library(event, delivery):
    """Await a future that a library cancels, which raises CancelledError here."""
    del event, delivery
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("numbers", [(1,), (1, 2)])
async def test_a_handler_that_a_library_cancels_has_failed(offline, numbers):
    """Its partition goes on, and so does the loop that retries the message."""
    runner = offline.runner(cancelled_by_a_library, failure=AT_ONCE)
    assert await runner.run(raised(*numbers)) == (len(numbers), None)
    assert await offline.query(QUEUES) == [("a", "retrying", True)]
    await drain(offline.retries(cancelled_by_a_library, failure=AT_ONCE))
    assert await offline.query(QUEUES) == [("a", "dead", True)]


async def test_after_its_last_attempt_a_message_is_dead_and_stays_at_the_head_of_its_key(offline):
    handler = FailingFor(1)
    await offline.runner(handler, failure=AT_ONCE).run(raised(1, 2))
    retries = offline.retries(handler, failure=AT_ONCE)
    await drain(retries)
    assert handler.tried.count(("a", 1)) == 4  # in the batch, alone, and twice when parked
    assert await offline.query(QUEUES) == [("a", "dead", True)]
    assert await offline.query(WAITING) == [("a", 1, 3), ("a", 2, 0)]
    handler.refused.clear()
    assert not await retries.work_one()
    await offline.runner(handler, failure=AT_ONCE).run(raised(3))
    assert await offline.effects() == []


async def test_attempts_and_the_time_of_the_next_one_survive_a_restart(offline):
    """They are in the database, as another process may continue."""
    slow = FailurePolicy(attempts=3, first_delay=3600, longest_delay=3600)
    await offline.runner(FailingFor(1), failure=slow).run(raised(1))
    assert not await offline.retries(failure=slow).work_one()
    due = "UPDATE parked_keys SET next_attempt_at = now()"
    for attempts in (2, 3):
        await offline.query(due)
        assert await offline.retries(FailingFor(1), failure=slow).work_one()
        assert await offline.query(WAITING) == [("a", 1, attempts)]
    assert await offline.query(QUEUES) == [("a", "dead", True)]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], "lacks the header ce_id"),
        ([("ce_id", b"1"), ("ce_source", b"/x")], "lacks the header ce_type"),
        ([("ce_id", None), ("ce_source", b"/x"), ("ce_type", b"y")], "lacks the header ce_id"),
        ([("ce_id", b"\xff")], "is not UTF-8"),
        ([("ce_id", b"a\0"), ("ce_source", b"/x"), ("ce_type", b"y")], "ce_id of message"),
        ([("ce_id", b"1"), ("ce_source", b"x" * 256), ("ce_type", b"y")], "ce_source of message"),
        (
            [("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"y"), ("ce_sequence", b"-1")],
            "ce_sequence '-1' is not a number",
        ),
        (
            [
                ("ce_id", b"1"),
                ("ce_source", b"/x"),
                ("ce_type", b"y"),
                ("ce_sequence", b"9" * 5000),
            ],
            "at most 255 are allowed",
        ),
        (
            [("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"y"), ("ce_time", b"noon")],
            "ce_time 'noon' is not a time of RFC 3339",
        ),
    ],
)
async def test_a_message_that_is_no_cloud_event_is_dead_at_once_and_kept_as_it_came(
    offline, headers, says
):
    broken = raw(2, headers, b"\x00\xff")
    runner = offline.runner()
    assert await runner.run([*raised(1), broken, *raised(3)]) == (3, None)
    assert await runner.run([broken]) == (1, None)
    assert await offline.effects() == [("a", 1)]
    assert await offline.query(QUEUES) == [("a", "dead", True)]
    [(error,), _] = await offline.query("SELECT error FROM parked_messages ORDER BY seq")
    assert says in error
    async with offline.database.transaction() as unit:
        parking = Parking(consumer=SERVICE)
        [queue] = (await parking.find(unit, broken.topic, ["a"])).values()
        head = await parking.head(unit, queue)
    assert head is not None
    assert (head.headers, head.value, head.key) == (headers, b"\x00\xff", b"a")


@pytest.mark.parametrize("milliseconds", [-(2**63), 1_790_000_000_000_000, 2**63 - 1])
async def test_a_message_whose_time_no_calendar_has_is_parked_and_retried_as_others_are(
    offline, milliseconds
):
    """The producer chooses the time; one that counts microseconds is some 55,000 years ahead."""
    [one, other] = raised(1, 2)
    handler = FailingFor(1)
    batch = [replace(one, timestamp=milliseconds), other]
    assert await offline.runner(handler, failure=AT_ONCE).run(batch) == (2, None)
    assert await offline.query("SELECT sent_at IS NULL FROM parked_messages ORDER BY seq") == [
        (True,),
        (False,),
    ]
    handler.refused.clear()
    await drain(offline.retries(handler, failure=AT_ONCE))
    assert await offline.effects() == [("a", 1), ("a", 2)]


async def test_data_that_do_not_fit_the_contract_are_dead_at_once(offline):
    [one] = raised(1)
    broken = raw(1, one.headers, b'{"number": "secret"')
    assert await offline.runner().run([broken, *raised(2)]) == (2, None)
    assert await offline.query(QUEUES) == [("a", "dead", True)]
    [(error,), _] = await offline.query("SELECT error FROM parked_messages ORDER BY seq")
    assert "The data of counter.raised.v1" in error
    assert "secret" not in error


async def test_an_unknown_type_is_kept_and_blocks_nothing(offline):
    audited = message(2, CounterAudited(counter="a", number=2))
    [first, third] = raised(1, 3)
    assert await offline.runner().run([first, audited, third]) == (3, None)
    assert await offline.runner().run([audited]) == (1, None)
    assert await offline.effects() == [("a", 1), ("a", 3)]
    assert await offline.query(QUEUES) == [("a", "unknown", False)]
    assert offline.outcome("unknown") == 1


async def test_a_message_of_an_unknown_type_is_handled_once_a_newer_consumer_knows_the_type(
    offline,
):
    audited = message(2, CounterAudited(counter="a", number=2))
    await offline.runner().run([audited])
    await offline.query("UPDATE parked_keys SET state = 'retrying', next_attempt_at = now()")
    await drain(offline.retries())
    assert await offline.query(QUEUES) == [("a", "unknown", False)]  # its type is still unknown
    await offline.query("UPDATE parked_keys SET state = 'retrying', next_attempt_at = now()")
    newer = Subscriptions(handled=[Subscription(CounterAudited, record)], ignored=[CounterAdmired])
    await drain(offline.retries(table=newer))
    assert await offline.effects() == [("a", 2)]
    assert await offline.query(QUEUES) == []


async def test_a_subscription_that_skips_lets_later_messages_go_on(offline):
    skip = FailurePolicy(attempts=2, first_delay=0, skip=True)
    handler = FailingFor(1)
    await offline.runner(handler, failure=skip).run(raised(1, 2))
    assert await offline.effects() == [("a", 2)]
    assert await offline.query(QUEUES) == [("a", "retrying", False)]
    await drain(offline.retries(handler, failure=skip))
    assert await offline.query(QUEUES) == [("a", "dead", False)]
    outcomes = "SELECT outcome FROM inbox ORDER BY 1"
    assert await offline.query(outcomes) == [("done",), ("skipped",)]


async def test_an_infrastructure_error_in_a_retry_counts_no_attempt(offline):
    async def lose_connection(_, delivery):
        await delivery.unit.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await offline.runner(FailingFor(1), failure=AT_ONCE).run(raised(1))
    with pytest.raises(Exception, match=r"terminating|closed"):
        await offline.retries(lose_connection, failure=AT_ONCE).work_one()
    assert await offline.query(WAITING) == [("a", 1, 1)]
    assert await offline.query(QUEUES) == [("a", "retrying", True)]


@pytest.mark.parametrize("state", ["retrying", "dead"])
async def test_what_overtakes_passes_a_dead_message_of_its_key_but_no_message_that_is_retried(
    offline, state
):
    handled: list[Any] = [
        Subscription(
            CounterRaised, FailingFor(1), failure=FailurePolicy(attempts=2, first_delay=0)
        ),
        Subscription(CounterAudited, record, overtakes=True),
    ]
    table: Subscriptions[Any] = Subscriptions(handled=handled)
    await offline.runner(table=table).run(raised(1))
    if state == "dead":
        await drain(offline.retries(table=table))
    audited = message(7, CounterAudited(counter="a", number=7))
    await offline.runner(table=table).run([audited])
    assert await offline.effects() == ([("a", 7)] if state == "dead" else [])


async def test_what_overtakes_and_waited_already_runs_once_the_head_of_its_key_is_dead(offline):
    """It arrived while the head was still retried; nothing else would look at it again."""
    handled: list[Any] = [
        Subscription(
            CounterRaised, FailingFor(1), failure=FailurePolicy(attempts=2, first_delay=0)
        ),
        Subscription(CounterAudited, record, overtakes=True),
    ]
    table: Subscriptions[Any] = Subscriptions(handled=handled)
    audited = message(7, CounterAudited(counter="a", number=7))
    await offline.runner(table=table).run([*raised(1), audited, *raised(2)])
    retries = offline.retries(table=table)
    assert not await retries.overtake_one()
    await drain(retries)
    assert await retries.overtake_one()
    assert await offline.effects() == [("a", 7)]
    assert await offline.query(WAITING) == [("a", 1, 2), ("a", 2, 0)]
    assert not await retries.overtake_one()


async def test_a_null_key_is_a_key_of_its_own(offline):
    keyless = [raw(one.offset, one.headers, one.value, key=None) for one in raised(1, 2)]
    empty = [raw(one.offset, one.headers, one.value, key=b"") for one in raised(3)]
    assert await offline.runner(FailingFor(1)).run([*keyless, *empty]) == (3, None)
    assert await offline.effects() == [("a", 3)]
    assert await offline.query(QUEUES) == [(None, "retrying", True)]


async def test_keys_that_postgres_could_not_store_or_index_park_as_well_and_stay_apart(offline):
    keys = [b"\xff", b"\0", b"k" * 5000, b"k" * 4999]
    records = [
        raw(one.offset, one.headers, one.value, key=key)
        for one, key in zip(raised(1, 2, 3, 4), keys, strict=True)
    ]
    assert await offline.runner(FailingFor(1, 2, 3, 4)).run(records) == (4, None)
    assert await offline.query("SELECT count(*) FROM parked_keys") == [(4,)]


async def test_a_duplicate_of_a_parked_message_neither_runs_nor_parks_again(offline):
    await offline.runner(FailingFor(1)).run(raised(1))
    assert await offline.runner().run(raised(1)) == (1, None)
    assert await offline.query(WAITING) == [("a", 1, 1)]
    assert await offline.effects() == []


async def test_a_message_that_comes_while_its_keys_queue_is_emptied_is_not_stranded(offline):
    """A consumer may have found the queue before it is closed, and then append to it."""
    handler = FailingFor(1)
    await offline.runner(handler, failure=AT_ONCE).run(raised(1))
    handler.refused.clear()
    retries = offline.retries(handler, failure=AT_ONCE)
    assert await retries.work_one()  # the queue is now empty, and still open
    parking = Parking(consumer=SERVICE)
    async with offline.database.transaction() as consumer:
        [queue] = (await parking.find(consumer, "counters", ["a"])).values()
        closing = asyncio.create_task(retries.work_one())

        async def closing_waits():
            return await offline.query(LOCK_WAITERS) != [(0,)]

        await until(closing_waits)
        [late] = raised(2)
        await parking.append(consumer, queue, retries._handling.read(late))
    await closing
    assert await offline.query(QUEUES) == [("a", "retrying", True)]
    await drain(retries)
    assert await offline.effects() == [("a", 1), ("a", 2)]
    assert await offline.query(QUEUES) == []


async def test_a_message_that_comes_while_its_keys_queue_is_closed_runs_after_what_was_in_it(
    offline,
):
    """The consumer waits until the queue is closed, finds no queue, and runs the message."""
    handler = FailingFor(1)
    await offline.runner(handler, failure=AT_ONCE).run(raised(1))
    handler.refused.clear()
    assert await offline.retries(handler, failure=AT_ONCE).work_one()
    async with offline.database.transaction() as unit:
        [(queue,)] = await unit.session.execute(text("SELECT id FROM parked_keys FOR UPDATE"))
        running_late = asyncio.create_task(offline.runner().run(raised(2)))

        async def consumer_waits():
            return await offline.query(LOCK_WAITERS) != [(0,)]

        await until(consumer_waits)
        await unit.session.execute(text("DELETE FROM parked_keys WHERE id = :id"), {"id": queue})
    assert await running_late == (1, None)
    assert await offline.effects() == [("a", 1), ("a", 2)]


async def test_a_queue_is_retried_by_one_at_a_time_while_the_consumer_appends_to_it(offline):
    """Otherwise a slow handler would block the whole partition by the lock on the queue's row."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def linger(event, delivery):
        entered.set()
        await leave.wait()
        await record(event, delivery)

    await offline.runner(FailingFor(1), failure=AT_ONCE).run(raised(1))
    first = asyncio.create_task(offline.retries(linger, failure=AT_ONCE).work_one())
    await entered.wait()
    assert not await offline.retries(failure=AT_ONCE).work_one()
    assert await offline.runner().run([*raised(2), *raised(9, counter="b")]) == (2, None)
    leave.set()
    await first
    await drain(offline.retries())
    assert await offline.effects() == [("b", 9), ("a", 1), ("a", 2)]


async def test_the_retry_loop_of_two_workers_brings_all_keys_through_in_order(offline):
    """As in a worker: several keys at once, with failures, and every order is kept."""
    failing = set(range(0, 12, 3))

    class FailingOnce(FailingFor):
        async def __call__(self, event, delivery):
            self.refused = {event.number} if event.number in failing else set()
            await super().__call__(event, delivery)
            failing.discard(event.number)

    table = {"failure": AT_ONCE}
    names = [f"counter-{n}" for n in range(10)]
    batch = [one for n in range(4) for name in names for one in raised(n, counter=name)]
    records = [raw(place, one.headers, one.value, key=one.key) for place, one in enumerate(batch)]
    for place, one in enumerate(records):
        one.headers[:] = [(k, f"{place}".encode() if k == "ce_id" else v) for k, v in one.headers]
    assert await offline.runner(FailingFor(0), **table).run(records[:10]) == (10, None)
    assert await offline.runner(**table).run(records[10:]) == (30, None)
    assert await offline.effects() == []

    async def all_closed():
        return await offline.query(QUEUES) == []

    loops = [offline.retries(**table).run() for _ in range(2)]
    async with running(*loops):
        await until(all_closed)
    effects = await offline.effects()
    assert len(effects) == 40
    assert all([n for c, n in effects if c == name] == [0, 1, 2, 3] for name in names)
