"""Batches of one partition: inbox rows and effects in one transaction, each message once."""

import asyncio
from uuid import NAMESPACE_OID, uuid5

import asyncpg
import pytest
from aiokafka import ConsumerRecord
from sqlalchemy import text

from chassis.messaging.events import MessageFormatError, cloud_event_headers
from chassis.messaging.subscriptions import Subscription, Subscriptions, UnknownEventTypeError

from .counting import SOURCE, CounterAdmired, CounterAudited, CounterRaised, record

TOPIC = "counters"


def message(offset, event, *, event_id=None, partition=0):
    event_id = event_id or uuid5(NAMESPACE_OID, f"{partition} {offset}")
    headers = cloud_event_headers(event, event_id=event_id, source=SOURCE, trace={})
    return raw(
        offset,
        [(name, value.encode()) for name, value in headers.items()],
        event.to_json(),
        key=event.key.encode(),
        partition=partition,
    )


def raw(offset, headers, value, *, key=b"a", partition=0):
    return ConsumerRecord(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=headers,
    )


def raised(*numbers, counter="a", **options):
    return [message(n, CounterRaised(counter=counter, number=n), **options) for n in numbers]


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
        calls.append(event.number)
        if event.number == 3:
            message = "three is refused"
            raise ValueError(message)
        await record(event, delivery)

    done, error = await offline.runner(refuse_third).run(raised(1, 2, 3, 4))
    assert (done, str(error)) == (2, "three is refused")
    assert calls == [1, 2, 3, 1, 2, 3]
    assert (offline.outcome("done"), offline.outcome("failed")) == (2, 1)
    assert await offline.effects() == [("a", 1), ("a", 2)]
    assert await offline.query("SELECT count(*) FROM inbox") == [(2,)]


async def test_what_a_handler_wrote_before_it_failed_is_rolled_back(offline):
    async def write_then_fail(event, delivery):
        await record(event, delivery)
        message = "too late"
        raise ValueError(message)

    assert (await offline.runner(write_then_fail).run(raised(1)))[0] == 0
    assert await offline.effects() == []
    assert await offline.query("SELECT count(*) FROM inbox") == [(0,)]


async def test_an_event_that_a_handler_publishes_commits_with_its_effect(offline):
    async def echo(event, delivery):
        await record(event, delivery)
        offline.outbox(delivery.session).add(CounterAudited(counter="a", number=event.number))
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
            await delivery.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
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
    assert offline.outcome("ignored") == 2


async def test_a_type_that_the_table_ignores_is_dropped_and_counted(offline):
    admired = message(1, CounterAdmired(counter="a", number=1))
    assert await offline.runner().run([admired, *raised(2)]) == (2, None)
    assert await offline.effects() == [("a", 2)]
    assert offline.outcome("ignored") == 1


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], "no header ce_id"),
        ([("ce_id", b"1"), ("ce_source", b"/x")], "no header ce_type"),
        ([("ce_id", None), ("ce_source", b"/x"), ("ce_type", b"y")], "no header ce_id"),
        ([("ce_id", b"\xff")], "is not UTF-8"),
        (
            [("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"y"), ("ce_sequence", b"-1")],
            "ce_sequence '-1' is no number",
        ),
        (
            [("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"y"), ("ce_time", b"noon")],
            "ce_time 'noon' is no RFC 3339 time",
        ),
    ],
)
async def test_a_message_that_is_no_cloud_event_stops_what_follows_it(offline, headers, says):
    [first, third] = raised(1, 3)
    done, error = await offline.runner().run([first, raw(2, headers, b"{}"), third])
    assert done == 1
    assert isinstance(error, MessageFormatError)
    assert says in str(error)
    assert await offline.effects() == [("a", 1)]


async def test_an_unknown_type_stops_what_follows_it(offline):
    audited = message(2, CounterAudited(counter="a", number=2))
    [first, third] = raised(1, 3)
    done, error = await offline.runner().run([first, audited, third])
    assert done == 1
    assert isinstance(error, UnknownEventTypeError)
    assert "counter.audited.v1" in str(error)
    assert await offline.effects() == [("a", 1)]


async def test_data_that_does_not_fit_the_contract_stops_what_follows_it(offline):
    [first, third] = raised(1, 3)
    broken = raw(2, raised(2)[0].headers, b"{")
    done, error = await offline.runner().run([first, broken, third])
    assert (done, type(error).__name__) == (1, "JSONDecodeError")


async def test_a_wrong_statement_of_a_handler_is_its_own_fault_and_not_the_servers(offline):
    """So the good messages before it go through, and it is counted."""

    async def pass_a_wrong_argument(event, delivery):
        number = "two" if event.number == 2 else event.number
        await delivery.session.execute(
            text("INSERT INTO effects (counter, number) VALUES ('a', cast(:n AS bigint))"),
            {"n": number},
        )

    done, error = await offline.runner(pass_a_wrong_argument).run(raised(1, 2, 3))
    assert done == 1
    assert isinstance(error.orig.__cause__, asyncpg.DataError)
    assert await offline.effects() == [("a", 1)]


def test_a_type_has_one_handler_and_is_not_ignored_as_well():
    subscription = Subscription(CounterRaised, record)
    with pytest.raises(ValueError, match=r"counter\.raised\.v1 has two handlers"):
        Subscriptions(handled=[subscription, subscription])
    with pytest.raises(ValueError, match=r"counter\.raised\.v1 is both handled and ignored"):
        Subscriptions(handled=[subscription], ignored=[CounterRaised])
