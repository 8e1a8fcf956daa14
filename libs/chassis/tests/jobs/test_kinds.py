"""Declarations that contradict themselves are rejected; the error says what to change."""

from datetime import timedelta
from typing import Any

import pytest

from chassis.jobs import BatchJob, InsideJob, JobArguments, JobKinds, OutsideJob, Retry, Schedule
from chassis.jobs.settling import LEASE_EXPIRED, Fate, fate_of_failure
from chassis.jobs.tables import DEAD, WAITING


class First(JobArguments):
    kind = "first.v1"


class Second(JobArguments):
    kind = "second.v1"
    queue = "second"


class Third(JobArguments):
    kind = "third.v2"
    queue = "second"


async def do(*_):
    """Do nothing."""


@pytest.mark.parametrize(
    "kind", ["first", "first.v0", "First.v1", "first v1", "", "a..b.v1", ".v1"]
)
def test_a_kind_is_lower_case_and_ends_in_its_version(kind):
    with pytest.raises(ValueError, match="ends in its version"):
        type("Named", (JobArguments,), {"kind": kind, "__module__": __name__})


@pytest.mark.parametrize("queue", ["", "Mail", "a b", "x" * 41])
def test_a_queue_has_a_simple_name(queue):
    members = {"kind": "a.v1", "queue": queue, "__module__": __name__}
    with pytest.raises(ValueError, match="a queue is lower case"):
        type("Named", (JobArguments,), members)


def test_a_kind_has_one_handler():
    kinds: list[Any] = [InsideJob(First, do), OutsideJob(First, do)]
    with pytest.raises(ValueError, match=r"first\.v1 has two handlers"):
        JobKinds(kinds=kinds)


@pytest.mark.parametrize(
    "kinds",
    [[BatchJob(First, do)], [BatchJob(Second, do), InsideJob(Third, do)]],
    ids=["the default queue", "a queue of another kind"],
)
def test_a_batched_kind_has_a_queue_of_its_own(kinds: list[Any]):
    with pytest.raises(ValueError, match="to one that no other kind has"):
        JobKinds(kinds=kinds)


@pytest.mark.parametrize("mode", [InsideJob, BatchJob])
@pytest.mark.parametrize("seconds", [0, -1, 20.5])
def test_a_transaction_may_not_take_longer_than_postgresql_lets_it(mode, seconds):
    with pytest.raises(ValueError, match="at most 20 s"):
        mode(Second, do, time_limit=seconds)
    OutsideJob(Second, do, time_limit=3600)


def test_schedules_have_kinds_and_names_of_their_own():
    schedule = Schedule(arguments=First(), every=timedelta(minutes=1))
    with pytest.raises(ValueError, match=r"first\.v1 has no kind"):
        JobKinds(schedules=[schedule])
    with pytest.raises(ValueError, match="two schedules are named"):
        JobKinds(kinds=[InsideJob(First, do)], schedules=[schedule, schedule])


def test_slots_are_of_queues_that_there_are():
    kinds = JobKinds(kinds=[InsideJob(Second, do)], slots={"second": 3})
    assert kinds.queues == {"default": 8, "second": 3}
    with pytest.raises(ValueError, match="slots name queues without a kind: mail"):
        JobKinds(slots={"mail": 1})


def test_a_queue_runs_inside_transactions_unless_one_of_its_kinds_runs_outside():
    declared: list[Any] = [InsideJob(First, do), BatchJob(Second, do)]
    kinds = JobKinds(kinds=declared)
    assert (kinds.runs_inside("default"), kinds.runs_inside("second")) == (True, True)
    declared = [InsideJob(First, do), OutsideJob(Second, do)]
    mixed = JobKinds(kinds=declared)
    assert (mixed.runs_inside("default"), mixed.runs_inside("second")) == (True, False)


def test_what_the_chassis_adds_leaves_the_service_its_own():
    own = JobKinds(kinds=[InsideJob(First, do)], slots={"default": 2})
    more = own.extended(
        kinds=[BatchJob(Second, do, size=7)],
        schedules=[Schedule(arguments=Second(), every=timedelta(minutes=1))],
    )
    assert (own.names, more.names) == (("first.v1",), ("first.v1", "second.v1"))
    assert more.queues == {"default": 2, "second": 8}
    assert (more.batch_size("default"), more.batch_size("second")) == (1, 7)


def test_a_failure_is_tried_again_until_the_last_attempt():
    retry = Retry(attempts=3, first_delay=10, longest_delay=15)
    for attempts in (1, 2):
        fate = fate_of_failure(retry, attempts, "no")
        assert (fate.state, fate.error, fate.counted) == (WAITING, "no", True)
        assert fate.delay is not None
        assert 0 <= fate.delay <= 15
    assert fate_of_failure(retry, 3, LEASE_EXPIRED) == Fate(state=DEAD, error=LEASE_EXPIRED)
    assert fate_of_failure(retry, 1, "no", permanent=True).state == DEAD
