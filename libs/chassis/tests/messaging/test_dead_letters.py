"""Operators act on parked messages while the retry loop and the consumer work on them."""

import asyncio
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import text

from chassis.database.unit import NotCommittedError
from chassis.messaging import FailurePolicy
from chassis.operations.dead_letters import (
    Action,
    BeingTried,
    DeadLetterNotFound,
    DeadLetters,
    Filter,
    NotHead,
)
from chassis.paging import PageRequest
from testkit.waiting import until

from .counting import SERVICE, CounterRaised, record
from .messages import message, raised

ONCE = FailurePolicy(attempts=1)
BY = Action(actor="somebody", reason="a test")
QUEUES = "SELECT key, state FROM parked_keys ORDER BY id"
WAITING = "SELECT log_offset, attempts FROM parked_messages ORDER BY seq"
ACTIONS = "SELECT actor, action, reason, key, type, message_id FROM dead_letter_actions ORDER BY id"
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


class Switch:
    """A handler that fails until it is switched; it can be held in the middle."""

    def __init__(self, *, good=False):
        self.good = good
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, event, delivery):
        await record(event, delivery)
        self.begun.set()
        await self.go_on.wait()
        if not self.good:
            message = "refused"
            raise ValueError(message)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def letters(registry):
    counter = Counter("actions_total", "Actions.", ["action"], registry=registry)
    return DeadLetters(consumer=SERVICE, counter=counter)


async def seqs(service, letters, **wanted):
    async with service.database.transaction() as unit:
        found = await letters.page(unit, PageRequest(limit=100), only=Filter(**wanted))
        return [one.seq for one in found.items]


async def redrive(service, letters, seq):
    async with service.database.transaction() as unit:
        await letters.redrive(unit, seq, BY)


async def discard(service, letters, seq):
    async with service.database.transaction() as unit:
        await letters.discard(unit, seq, BY)


async def drain(retries):
    while await retries.work_one():
        pass


async def kill(service, *numbers, counter="a"):
    """Make the first of `numbers` dead, and park the others behind it."""
    await service.runner(Switch(), failure=ONCE).run(raised(*numbers, counter=counter))


@asynccontextmanager
async def while_tried(service, handler):
    """Hold the retry loop in the middle of a message; release it at the end of the block."""
    handler.begun.clear()
    handler.go_on.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.retries(handler, failure=ONCE).work_one())
        await handler.begun.wait()
        yield
        handler.go_on.set()


async def until_somebody_waits_for_a_lock(service):
    async def blocked():
        return await service.query(BLOCKED) != [(0,)]

    await until(blocked)


async def test_a_redriven_message_takes_effect_and_its_key_goes_on_in_order(offline, letters):
    await kill(offline, 1, 2, 3)
    (seq,) = await seqs(offline, letters)
    await redrive(offline, letters, seq)
    await drain(offline.retries())
    assert await offline.effects() == [("a", 1), ("a", 2), ("a", 3)]
    assert await offline.query(QUEUES) == []
    (done,) = await offline.query(ACTIONS)
    assert done[:5] == ("somebody", "redriven", "a test", "a", CounterRaised.type)


async def test_a_redriven_message_that_fails_again_never_leaves_its_place(offline, letters):
    await kill(offline, 1, 2)
    (seq,) = await seqs(offline, letters)
    await redrive(offline, letters, seq)
    assert await offline.query(WAITING) == [(1, 0), (2, 0)]
    await drain(offline.retries(Switch(), failure=ONCE))
    assert await offline.query(QUEUES) == [("a", "dead")]
    assert await offline.query(WAITING) == [(1, 1), (2, 0)]
    assert await seqs(offline, letters) == [seq]


async def test_a_discarded_message_has_no_effect_and_its_key_goes_on(offline, letters):
    await kill(offline, 1, 2)
    (seq,) = await seqs(offline, letters)
    await discard(offline, letters, seq)
    await drain(offline.retries())
    assert await offline.effects() == [("a", 2)]
    assert await offline.query(QUEUES) == []
    assert [row[1] for row in await offline.query(ACTIONS)] == ["discarded"]


async def test_a_duplicate_of_a_discarded_message_does_not_run(offline, letters):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)
    await discard(offline, letters, seq)
    await drain(offline.retries())
    await offline.runner().run(raised(1))
    assert await offline.effects() == []
    assert await offline.query("SELECT outcome FROM inbox") == [("discarded",)]


async def test_one_that_waits_behind_can_be_discarded_and_not_redriven(offline, letters):
    await kill(offline, 1, 2, 3)
    (seq,) = await seqs(offline, letters)
    with pytest.raises(NotHead, match="behind 1 earlier ones of its key 'a'"):
        await redrive(offline, letters, seq + 1)
    await discard(offline, letters, seq + 1)
    assert await offline.query(QUEUES) == [("a", "dead")]
    assert await offline.query(WAITING) == [(1, 1), (3, 0)]


async def test_a_message_of_an_unknown_type_is_redriven_once_it_is_known(offline, letters):
    class CounterLost(CounterRaised):
        type = "counter.lost.v1"

    await offline.runner().run([message(1, CounterLost(counter="a", number=1)), *raised(2)])
    assert await offline.effects() == [("a", 2)]
    (seq,) = await seqs(offline, letters, states=("unknown",))
    await redrive(offline, letters, seq)
    assert await offline.query(QUEUES) == [("a", "retrying")]
    await drain(offline.retries())  # its type is still unknown
    assert await offline.query(QUEUES) == [("a", "unknown")]


async def test_what_is_not_parked_is_named(offline, letters):
    with pytest.raises(DeadLetterNotFound, match="counters has no parked message 7"):
        await discard(offline, letters, 7)


async def test_nothing_is_recorded_of_what_was_rolled_back(offline, letters):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)

    async def discard_and_fail():
        async with offline.database.transaction() as unit:
            await letters.discard(unit, seq, BY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await discard_and_fail()
    assert await offline.query(ACTIONS) == []
    assert await seqs(offline, letters) == [seq]


# ---- races ----


async def test_discarding_a_message_that_is_being_tried_waits_and_finds_it_done(offline, letters):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)
    await redrive(offline, letters, seq)
    async with while_tried(offline, Switch(good=True)):
        discarding = asyncio.create_task(discard(offline, letters, seq))
        await until_somebody_waits_for_a_lock(offline)
    with pytest.raises(DeadLetterNotFound):
        await discarding
    assert await offline.effects() == [("a", 1)]
    assert await offline.query("SELECT outcome FROM inbox") == [("done",)]


async def test_discarding_a_message_wins_over_an_attempt_that_fails_at_the_same_time(
    offline, letters
):
    await kill(offline, 1, 2)
    (seq,) = await seqs(offline, letters)
    await redrive(offline, letters, seq)
    async with while_tried(offline, Switch()):
        discarding = asyncio.create_task(discard(offline, letters, seq))
        await until_somebody_waits_for_a_lock(offline)
    await discarding
    # The failed attempt was at a message that is gone: the next one is neither dead nor delayed.
    await drain(offline.retries())
    assert await offline.effects() == [("a", 2)]
    assert await offline.query("SELECT outcome FROM inbox ORDER BY 1") == [
        ("discarded",),
        ("done",),
    ]


async def test_redriving_a_message_that_is_being_tried_resets_its_attempts(offline, letters):
    twice = FailurePolicy(attempts=2, first_delay=0)
    await offline.runner(Switch(), failure=twice).run(raised(1))
    (seq,) = await seqs(offline, letters, states=("retrying",))
    handler = Switch()
    handler.go_on.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(offline.retries(handler, failure=twice).work_one())
        await handler.begun.wait()
        group.create_task(redrive(offline, letters, seq))
        await until_somebody_waits_for_a_lock(offline)
        handler.go_on.set()
    # The attempt that was running may or may not count; it was never the last one.
    assert (await offline.query(WAITING))[0][1] <= 1
    assert await offline.query(QUEUES) == [("a", "retrying")]


async def test_an_action_on_a_message_whose_attempt_takes_long_says_so(offline, letters):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)
    await redrive(offline, letters, seq)

    async def discard_impatiently():
        async with offline.database.transaction() as unit:
            await unit.session.execute(text("SET LOCAL lock_timeout = 50"))
            await letters.discard(unit, seq, BY)

    async with while_tried(offline, Switch(good=True)):
        with pytest.raises(BeingTried, match="Try again in a moment"):
            await discard_impatiently()
    assert await offline.effects() == [("a", 1)]


async def test_what_is_appended_while_a_head_is_discarded_is_not_lost(offline, letters):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)
    async with asyncio.TaskGroup() as group, offline.database.transaction() as unit:
        await letters.discard(unit, seq, BY)
        appending = group.create_task(offline.runner().run(raised(2)))
        await until_somebody_waits_for_a_lock(offline)
        assert not appending.done()
    await drain(offline.retries())
    assert await offline.effects() == [("a", 2)]
    assert await offline.query(QUEUES) == []


async def test_an_action_is_counted_if_its_transaction_commits(offline, letters, registry):
    await kill(offline, 1)
    (seq,) = await seqs(offline, letters)

    def counted():
        return registry.get_sample_value("actions_total", {"action": "redriven"})

    async def redrive_in_vain():
        async with offline.database.transaction() as unit:
            await letters.redrive(unit, seq, BY)
            unit.before_commit(fail)

    with pytest.raises(NotCommittedError):
        await redrive_in_vain()
    assert not counted()
    await redrive(offline, letters, seq)
    assert counted() == 1


async def fail(unit):
    """Fail a statement and go on, so that PostgreSQL rolls back at the COMMIT."""
    with suppress(asyncpg.UndefinedTableError):
        await unit.execute("DELETE FROM no_such_table")
