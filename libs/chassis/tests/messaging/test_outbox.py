"""An event is in the outbox if, and only if, its transaction committed."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase

from chassis.messaging import relay_channel
from chassis.messaging.publishing.outbox import MAX_PAYLOAD_BYTES, EventTooLargeError

from .counting import SERVICE, CounterRaised, Topic, metadata, raise_counter


class Base(DeclarativeBase):
    pass


class Row(Base):
    """A counter, as SQLAlchemy's unit of work would write it."""

    __table__ = metadata.tables["counters"]


EVENT = CounterRaised(counter="a", number=1)


async def in_transaction(service, use_case):
    async with service.database.transaction() as unit:
        await use_case(unit)


async def test_a_committed_transaction_leaves_its_event_as_a_cloud_event(offline):
    async with offline.database.transaction() as unit:
        await raise_counter(unit, offline.outbox(unit), "a")
    [(topic, key, event_type, headers, payload)] = await offline.query(
        "SELECT topic, key, type, headers, payload FROM outbox"
    )
    assert (topic, key, event_type) == ("counters", "a", "counter.raised.v1")
    assert json.loads(payload) == {"counter": "a", "number": 1, "filler": ""}
    attributes = json.loads(headers)
    assert attributes["ce_source"] == "/tests/counters"
    assert attributes["ce_sequence"] == "00000000000000000001"
    assert attributes["ce_subject"] == "a"


async def test_an_event_that_is_all_a_transaction_does_is_kept(offline):
    async with offline.database.transaction() as unit:
        offline.outbox(unit).add(EVENT)
    assert await offline.backlog() == 1


@dataclass(frozen=True, kw_only=True)
class CounterShown(CounterRaised):
    """An event that nobody waits for."""

    topic: ClassVar[Any] = Topic("shown", publish_delay=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("kinds", "hinted"),
    [((CounterShown,), False), ((CounterShown, CounterRaised), True), ((CounterRaised,), True)],
)
@pytest.mark.parametrize("within", ["statement of the outbox", "statement of the service"])
async def test_the_relay_is_woken_later_only_if_nobody_waits_for_any_event(
    offline, kinds, hinted, within
):
    async with offline.database.transaction() as unit:
        outbox = offline.outbox(unit)
        for kind in kinds:
            event = kind(counter="a", number=1)
            outbox.add(event) if within == "statement of the outbox" else outbox.row(event)
        assert not offline.wakeups._pending
        assert not offline.wakeups._delayed
    channel = (relay_channel(SERVICE), "")
    assert (channel in offline.wakeups._pending) == hinted
    assert hinted or channel in offline.wakeups._delayed


async def test_a_rollback_leaves_no_event(offline):
    async def use_case(unit):
        await raise_counter(unit, offline.outbox(unit), "a")
        message = "the use case changed its mind"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="changed its mind"):
        await in_transaction(offline, use_case)
    assert await offline.backlog() == 0


async def test_a_statement_that_fails_at_the_end_leaves_no_event(offline):
    async def violate(unit):
        await unit.session.execute(text("INSERT INTO counters VALUES ('a', 1), ('a', 2)"))

    async def use_case(unit):
        offline.outbox(unit).add(EVENT)
        unit.before_commit(violate)

    with pytest.raises(IntegrityError):
        await in_transaction(offline, use_case)
    assert await offline.backlog() == 0


async def test_a_commit_that_is_cut_off_leaves_no_event_and_no_hint(offline):
    hinted = []

    async def end_backend(unit):
        await unit.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async def use_case(unit):
        offline.outbox(unit).add(EVENT)
        unit.after_commit(lambda: hinted.append(1))
        unit.before_commit(end_backend)

    with pytest.raises(DBAPIError, match=r"terminating connection|connection was closed"):
        await in_transaction(offline, use_case)
    assert await offline.backlog() == 0
    assert hinted == []


async def test_a_task_cancelled_before_its_commit_leaves_no_event(offline):
    begun = asyncio.Event()

    async def use_case():
        async with offline.database.transaction() as unit:
            await raise_counter(unit, offline.outbox(unit), "a")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use_case())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await offline.backlog() == 0


async def test_rows_are_written_only_when_the_aggregates_lock_is_held(offline):
    """So `seq` follows the order of commits, whichever transaction called `add` first."""
    first_added, second_committed = asyncio.Event(), asyncio.Event()

    async def first():
        async with offline.database.transaction() as unit:
            offline.outbox(unit).add(CounterRaised(counter="a", number=2))
            first_added.set()
            await second_committed.wait()
            await raise_counter(unit, offline.outbox(unit), "a")

    async def second():
        await first_added.wait()
        async with offline.database.transaction() as unit:
            await raise_counter(unit, offline.outbox(unit), "a")
        second_committed.set()

    await asyncio.gather(first(), second())
    rows = await offline.query("SELECT payload FROM outbox ORDER BY seq")
    assert [json.loads(payload)["number"] for (payload,) in rows] == [1, 2, 2]


async def test_two_outboxes_of_one_transaction_keep_the_order_of_their_events(offline):
    async with offline.database.transaction() as unit:
        one, other = offline.outbox(unit), offline.outbox(unit)
        for number, outbox in enumerate((one, other, one, other), start=1):
            outbox.add(CounterRaised(counter="a", number=number))
    rows = await offline.query("SELECT payload FROM outbox ORDER BY seq")
    assert [json.loads(payload)["number"] for (payload,) in rows] == [1, 2, 3, 4]


async def published_numbers(service):
    rows = await service.query("SELECT payload FROM outbox ORDER BY seq")
    return [json.loads(payload)["number"] for (payload,) in rows]


@asynccontextmanager
async def rolled_back(unit):
    """Roll back a savepoint at the end of the block."""
    with suppress(LookupError):
        async with unit.savepoint():
            yield
            raise LookupError


async def test_an_event_of_a_savepoint_that_is_rolled_back_is_not_published(offline):
    async with offline.database.transaction() as unit:
        outbox = offline.outbox(unit)
        outbox.add(CounterRaised(counter="a", number=1))
        async with rolled_back(unit):
            outbox.add(CounterRaised(counter="a", number=-2))
        async with unit.savepoint():
            outbox.add(CounterRaised(counter="a", number=2))
    assert await published_numbers(offline) == [1, 2]


async def test_a_savepoint_that_is_rolled_back_takes_released_ones_inside_it_along(offline):
    async with offline.database.transaction() as unit:
        outbox = offline.outbox(unit)
        async with rolled_back(unit):
            async with unit.savepoint():
                outbox.add(CounterRaised(counter="a", number=-1))
            outbox.add(CounterRaised(counter="a", number=-2))
        async with unit.savepoint():
            outbox.add(CounterRaised(counter="a", number=1))
            async with rolled_back(unit):
                outbox.add(CounterRaised(counter="a", number=-3))
            outbox.add(CounterRaised(counter="a", number=2))
        outbox.add(CounterRaised(counter="a", number=3))
    assert await published_numbers(offline) == [1, 2, 3]


async def test_a_savepoint_whose_flush_fails_loses_its_own_events_only(offline):
    async def twice_the_same(unit, outbox):
        async with unit.savepoint():
            outbox.add(CounterRaised(counter="a", number=-2))
            unit.session.add(Row(name="a"))

    async with offline.database.transaction() as unit:
        outbox = offline.outbox(unit)
        await raise_counter(unit, outbox, "a")
        with pytest.raises(IntegrityError):
            await twice_the_same(unit, outbox)
        outbox.add(CounterRaised(counter="a", number=2))
    assert await published_numbers(offline) == [1, 2]


async def test_if_all_events_were_taken_back_no_row_is_written(offline):
    async with offline.database.transaction() as unit, rolled_back(unit):
        offline.outbox(unit).add(EVENT)
    assert await published_numbers(offline) == []


async def test_an_event_that_a_last_step_adds_is_published_too(offline):
    async def conclude(unit):
        offline.outbox(unit).add(CounterRaised(counter="a", number=2))

    async with offline.database.transaction() as unit:
        unit.before_commit(conclude)
        offline.outbox(unit).add(EVENT)
    assert await offline.backlog() == 2


async def test_an_event_of_a_step_after_the_outbox_was_written_comes_after_the_others(offline):
    async def conclude(unit):
        offline.outbox(unit).add(CounterRaised(counter="a", number=2))

    async with offline.database.transaction() as unit:
        offline.outbox(unit).add(CounterRaised(counter="a", number=1))
        unit.before_commit(conclude)
    assert await published_numbers(offline) == [1, 2]


async def test_an_event_too_large_for_kafka_is_refused_where_it_is_made(offline):
    fitting = MAX_PAYLOAD_BYTES - len(CounterRaised(counter="a", number=1).to_json())

    async def use_case(unit):
        outbox = offline.outbox(unit)
        outbox.add(CounterRaised(counter="a", number=1, filler="x" * fitting))
        outbox.add(CounterRaised(counter="a", number=1, filler="x" * (fitting + 1)))

    with pytest.raises(EventTooLargeError, match=r"counter\.raised\.v1 about a has 900001 bytes"):
        await in_transaction(offline, use_case)
    assert await offline.backlog() == 0


async def test_an_event_is_written_in_a_span_of_its_own_whose_context_is_stored_with_it(
    offline, spans
):
    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span("use case"):
        async with offline.database.transaction() as unit:
            event_id = offline.outbox(unit).add(EVENT)
    [(headers,)] = await offline.query("SELECT headers FROM outbox")
    create, commit, use_case = [
        span for span in spans.get_finished_spans() if "db.system.name" not in span.attributes
    ]
    assert (create.name, commit.name) == ("create counters", "commit")
    assert create.parent == use_case.context
    assert create.kind is trace.SpanKind.PRODUCER
    assert dict(create.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "create",
        "messaging.operation.name": "create",
        "messaging.destination.name": "counters",
        "messaging.kafka.message.key": "a",
        "messaging.message.id": str(event_id),
    }
    _, trace_id, span_id, _ = json.loads(headers)["traceparent"].split("-")
    assert (int(trace_id, 16), int(span_id, 16)) == (
        create.context.trace_id,
        create.context.span_id,
    )


async def test_an_event_outside_any_trace_begins_no_trace(offline, spans):
    async with offline.database.transaction() as unit:
        offline.outbox(unit).add(EVENT)
    [(headers,)] = await offline.query("SELECT headers FROM outbox")
    assert "traceparent" not in json.loads(headers)
    assert "create counters" not in {span.name for span in spans.get_finished_spans()}
