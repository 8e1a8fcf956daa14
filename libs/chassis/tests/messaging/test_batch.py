"""Batches of one partition: inbox rows and effects in one transaction, each message once."""

import asyncio
import errno
import ssl
from uuid import NAMESPACE_OID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from chassis.database.limits import HANDLER_SECONDS
from chassis.messaging.consuming.batch import TooManyFailuresError
from chassis.messaging.consuming.subscriptions import FailurePolicy, Subscription, Subscriptions

from .counting import CounterAdmired, CounterAudited, CounterRaised, record
from .messages import message, raised, raw

END_BACKEND = text("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_batch_takes_effect_in_order_and_is_done(offline):
    assert await offline.runner().run(raised(1, 2, 3)) == (3, None)
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3)]


async def test_a_message_that_comes_again_has_no_second_effect(offline):
    runner = offline.runner()
    await runner.run(raised(1, 2))
    assert await runner.run(raised(1, 2, 3)) == (3, None)
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3)]
    assert (offline.outcome("done"), offline.outcome("duplicate")) == (3, 2)


async def test_a_message_that_comes_twice_in_one_batch_has_one_effect(offline):
    twice = [
        message(offset, CounterRaised(counter="a", number=1), event_id=NAMESPACE_OID)
        for offset in (1, 2)
    ]
    assert await offline.runner().run(twice) == (2, None)
    assert await offline.effects() == [("a", 1)]


async def test_the_same_id_from_another_source_is_another_message(offline):
    [first] = raised(1)
    other = [(n, b"/elsewhere" if n == "ce_source" else v) for n, v in first.headers]
    second = raw(2, other, CounterRaised(counter="a", number=2).to_json())
    assert await offline.runner().run([first, second]) == (2, None)
    assert await offline.effects() == [("a", 1), ("a", 2)]


async def test_a_batch_with_a_bad_message_is_rolled_back_whole_and_then_run_one_by_one(offline):
    calls = []

    async def refuse_third(event, delivery):
        calls.append((event.counter, event.number))
        if event.number == 3:
            message = "three is refused"
            raise ValueError(message)
        await record(event, delivery)

    batch = [*raised(1, 2, 3, 4), *raised(5, counter="b")]
    assert await offline.runner(refuse_third).run(batch) == (5, None)
    assert calls == [("a", 1), ("a", 2), ("a", 3), ("a", 1), ("a", 2), ("a", 3), ("b", 5)]
    assert (offline.outcome("done"), offline.outcome("parked")) == (3, 2)
    assert await offline.effects() == [("a", 1), ("a", 2), ("b", 5)]


async def test_what_a_handler_wrote_before_it_failed_is_rolled_back(offline):
    async def write_then_fail(event, delivery):
        await record(event, delivery)
        message = "too late"
        raise ValueError(message)

    assert await offline.runner(write_then_fail).run(raised(1)) == (1, None)
    assert await offline.effects() == []
    assert await offline.query("SELECT outcome FROM inbox") == [("parked",)]


async def test_an_event_that_a_handler_publishes_commits_with_its_effect(offline):
    async def echo(event, delivery):
        await record(event, delivery)
        offline.outbox(delivery.unit).add(CounterAudited(counter="a", number=event.number))
        if event.number == 2:
            message = "after adding"
            raise ValueError(message)

    await offline.runner(echo).run(raised(1, 2))
    assert await offline.query("SELECT type FROM outbox") == [("counter.audited.v1",)]


async def test_an_infrastructure_error_is_neither_run_one_by_one_nor_counted_as_failed(offline):
    calls = []

    async def lose_connection_once(event, delivery):
        calls.append(event.number)
        if len(calls) == 2:
            await delivery.unit.session.execute(
                text("SELECT pg_terminate_backend(pg_backend_pid())")
            )
        await record(event, delivery)

    runner = offline.runner(lose_connection_once)
    done, error = await runner.run(raised(1, 2, 3))
    assert done == 0
    assert isinstance(error, Exception)
    assert calls == [1, 2]
    assert await offline.effects() == []
    assert (offline.outcome("failed"), offline.outcome("interrupted")) == (0, 3)
    assert await runner.run(raised(1, 2, 3)) == (3, None)
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3)]


async def test_a_stale_owner_of_a_partition_doubles_nothing_and_inverts_nothing(offline):
    records = raised(*range(1, 61))

    async def consume_in_batches_of(size):
        runner = offline.runner()
        for start in range(0, len(records), size):
            batch = records[start : start + size]
            assert await runner.run(batch) == (len(batch), None)

    await asyncio.gather(*(consume_in_batches_of(size) for size in (7, 10, 13)))
    assert await offline.effects() == [("a", number) for number in range(1, 61)]


async def test_two_owners_of_one_partition_take_turns_and_other_partitions_do_not_wait(offline):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def linger(event, delivery):
        entered.set()
        await leave.wait()
        await record(event, delivery)

    first = asyncio.create_task(offline.runner(linger).run(raised(1)))
    await entered.wait()
    second = asyncio.create_task(offline.runner().run(raised(2)))
    await offline.runner().run(raised(1, counter="b", partition=1))
    assert await offline.effects() == [("b", 1)]
    assert not second.done()
    leave.set()
    await asyncio.gather(first, second)
    assert await offline.effects() == [("b", 1), ("a", 1), ("a", 2)]


async def test_a_tombstone_is_passed_over(offline):
    tombstone = raw(2, [], None)
    [first, third] = raised(1, 3)
    assert await offline.runner().run([first, tombstone, third]) == (3, None)
    assert await offline.runner().run([tombstone]) == (1, None)
    assert await offline.effects() == [("a", 1), ("a", 3)]
    assert offline.outcome("tombstone") == 2


async def test_a_type_that_the_table_ignores_is_dropped_and_counted_and_leaves_no_row(offline):
    admired = [message(n, CounterAdmired(counter="a", number=n)) for n in (1, 3)]
    assert await offline.runner().run([admired[0], *raised(2), admired[1]]) == (3, None)
    assert await offline.runner().run(admired) == (2, None)
    assert await offline.effects() == [("a", 2)]
    assert offline.outcome("ignored") == 4
    assert await offline.query("SELECT count(*) FROM inbox") == [(1,)]


async def test_after_an_ignored_message_progress_ends_before_the_one_that_was_interrupted(offline):
    async def lose_connection(_, delivery):
        await delivery.unit.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    admired = message(1, CounterAdmired(counter="a", number=1))
    done, error = await offline.runner(lose_connection).run([admired, *raised(2)])
    assert (done, isinstance(error, Exception)) == (1, True)


async def test_a_wrong_statement_of_a_handler_is_its_own_fault_and_not_the_servers(offline):
    """The message is parked, and the other messages take effect."""

    async def pass_a_wrong_argument(event, delivery):
        number = "two" if event.number == 2 else event.number
        await delivery.unit.session.execute(
            text("INSERT INTO effects (counter, number) VALUES (:c, cast(:n AS bigint))"),
            {"n": number, "c": event.counter},
        )

    batch = [*raised(1, 2), *raised(3, counter="b")]
    assert await offline.runner(pass_a_wrong_argument).run(batch) == (3, None)
    assert await offline.effects() == [("a", 1), ("b", 3)]
    [(error,)] = await offline.query("SELECT error FROM parked_messages")
    assert "invalid input for query argument" in error


async def test_a_message_is_tried_within_its_time_limit_and_a_slow_one_is_parked(offline):
    async def hang_at_two(event, delivery):
        if event.number == 2:
            await asyncio.Event().wait()
        await record(event, delivery)

    runner = offline.runner(hang_at_two, time_limit=0.05)
    assert await runner.run([*raised(1, 2), *raised(3, counter="b")]) == (3, None)
    assert await offline.effects() == [("a", 1), ("b", 3)]
    [(error,)] = await offline.query("SELECT error FROM parked_messages")
    assert (
        error
        == "HandlerTimeoutError: The handler of counter.raised.v1 took longer than its 0.05 s."
    )


async def test_a_handler_that_wants_no_batch_has_its_message_in_a_transaction_of_its_own(offline):
    transactions = []

    async def note(event, delivery):
        transactions.append(await delivery.unit.session.scalar(text("SELECT pg_current_xact_id()")))
        await record(event, delivery)

    assert await offline.runner(note, batched=False).run(raised(1, 2, 3)) == (3, None)
    assert len(set(transactions)) == 3
    transactions.clear()
    assert await offline.runner(note).run(raised(4, 5, 6)) == (3, None)
    assert len(set(transactions)) == 1


async def test_a_run_that_is_asked_to_stop_ends_after_the_current_message(offline):
    async def refuse_first(event, delivery):
        if event.number == 1:
            message = "one is refused"
            raise ValueError(message)
        await record(event, delivery)

    batch = [*raised(1), *raised(2, counter="b"), *raised(3, counter="c")]
    assert await offline.runner(refuse_first).run(batch, stopping=lambda: True) == (1, None)
    assert await offline.effects() == []


async def test_where_more_than_half_of_the_recent_messages_fail_the_partition_stops(offline):
    """The handler is probably at fault then; parking all the messages would not help."""

    async def refuse_all(*_):
        message = "the handler is broken"
        raise ValueError(message)

    batch = [one for n in range(30) for one in raised(n, counter=f"counter-{n}")]
    runner = offline.runner(refuse_all)
    done, error = await runner.run(batch)
    assert done == 20
    assert isinstance(error, TooManyFailuresError)
    assert await offline.query("SELECT count(*) FROM parked_keys") == [(20,)]
    assert (await runner.run(batch[done:]))[0] == 0
    assert await offline.runner().run(batch[done:]) == (10, None)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("smtp"),
        ConnectionResetError("webhook"),
        TimeoutError("an answer that did not come"),
        ssl.SSLError("certificate verify failed"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
        PoolTimeoutError("of another pool"),
        asyncpg.ConnectionDoesNotExistError("of another database"),
    ],
)
async def test_a_third_party_that_fails_a_handler_parks_its_message_and_no_other(offline, error):
    async def call_a_third_party(event, delivery):
        if event.number == 2:
            raise error
        await record(event, delivery)

    batch = [*raised(1, 2), *raised(3, counter="b")]
    assert await offline.runner(call_a_third_party).run(batch) == (3, None)
    assert await offline.effects() == [("a", 1), ("b", 3)]
    [(text_of_it, attempts)] = await offline.query("SELECT error, attempts FROM parked_messages")
    assert text_of_it.startswith(type(error).__name__)
    assert attempts == 1


async def test_a_third_party_that_goes_on_failing_makes_the_message_dead(offline):
    async def call_a_third_party(*_):
        message = "smtp"
        raise ConnectionError(message)

    policy = FailurePolicy(attempts=3, first_delay=0)
    await offline.runner(call_a_third_party, failure=policy).run(raised(1))
    retries = offline.retries(call_a_third_party, failure=policy)
    assert [await retries.work_one() for _ in range(3)] == [True, True, False]
    assert await offline.query("SELECT state, attempts FROM parked_keys, parked_messages") == [
        ("dead", 3)
    ]


async def test_a_database_killed_in_mid_handler_counts_as_no_attempt_of_a_parked_message(offline):
    class NotNotifiedError(Exception):
        pass

    async def lose_connection(_, delivery):
        try:
            await delivery.unit.session.execute(
                text("SELECT pg_terminate_backend(pg_backend_pid())")
            )
        except DBAPIError as error:
            message = "the customer could not be notified"
            raise NotNotifiedError(message) from error

    async def refuse(*_):
        message = "not now"
        raise ValueError(message)

    policy = FailurePolicy(attempts=5, first_delay=0)
    await offline.runner(refuse, failure=policy).run(raised(1))
    with pytest.raises(NotNotifiedError):
        await offline.retries(lose_connection, failure=policy).work_one()
    assert await offline.query("SELECT attempts FROM parked_messages") == [(1,)]
    done, error = await offline.runner(lose_connection).run(raised(2, counter="b"))
    assert (done, isinstance(error, NotNotifiedError)) == (0, True)
    assert await offline.query("SELECT count(*) FROM parked_messages") == [(1,)]


async def test_a_handler_may_wait_for_a_third_party_for_longer_than_most_requests_take(offline):
    """Its transaction is idle during that time; an idle time-out of 5 s was too short."""

    async def wait_then_record(event, delivery):
        await asyncio.sleep(6)
        await record(event, delivery)

    assert await offline.runner(wait_then_record).run(raised(1)) == (1, None)
    assert await offline.effects() == [("a", 1)]


@pytest.mark.parametrize("seconds", [HANDLER_SECONDS + 0.1, 3600, 0, -1])
def test_a_time_limit_that_no_transaction_has_is_refused_where_it_is_declared(seconds):
    with pytest.raises(ValueError, match=r"counter\.raised\.v1 has time_limit=.*at most 20 s"):
        Subscription(CounterRaised, record, time_limit=seconds)


def test_the_longest_time_limit_is_taken():
    assert Subscription(CounterRaised, record, time_limit=HANDLER_SECONDS).time_limit == 20


def test_a_type_has_one_handler_and_is_not_ignored_as_well():
    subscription = Subscription(CounterRaised, record)
    with pytest.raises(ValueError, match=r"counter\.raised\.v1 has two handlers"):
        Subscriptions(handled=[subscription, subscription])
    with pytest.raises(ValueError, match=r"Both handled and ignored: counter\.raised\.v1"):
        Subscriptions(handled=[subscription], ignored=[CounterRaised])
