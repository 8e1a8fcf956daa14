"""Work that is repeated: which errors are retried, with which delays, and what ends the loop."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from chassis.error_text import describe
from chassis.loops import BACKOFF, Failures, for_ever, passes_if, until_success

AT_ONCE = (0.0,)
MORE, NO_MORE = True, False


class Work:
    """Raises or returns one outcome after the other; then waits forever."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.turns = 0
        self.last = asyncio.Event()
        self.done = asyncio.Event()

    async def __call__(self):
        self.turns += 1
        if not self.outcomes:
            self.done.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if not self.outcomes:
            self.last.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@asynccontextmanager
async def running(work, **options):
    defaults = {"every": 0, "name": "test", "passes": passes_if(OSError)}
    task = asyncio.create_task(for_ever(work, **{**defaults, **options}))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_temporary_error_is_logged_and_waited_out(logs):
    work = Work(OSError("no route"), OSError("refused"), None)
    async with running(work, failures=Failures(AT_ONCE)):
        await work.done.wait()
    assert logs == [
        {
            "event": "work failed, retrying",
            "log_level": "warning",
            "work": "test",
            "error": error,
            "attempt": attempt,
            "delay_s": 0.0,
        }
        for attempt, error in [(1, "OSError: no route"), (2, "OSError: refused")]
    ]


async def test_any_other_error_ends_the_work():
    work = Work(OSError(), KeyError("a bug"))
    async with running(work, failures=Failures(AT_ONCE)) as task:
        await asyncio.wait([task])
        with pytest.raises(KeyError):
            task.result()


async def test_a_turn_that_succeeds_begins_a_new_row(logs):
    work = Work(OSError(), OSError(), None, OSError())
    async with running(work, failures=Failures(AT_ONCE)):
        await work.done.wait()
    assert [entry["attempt"] for entry in logs] == [1, 2, 1]


async def test_work_that_runs_for_long_begins_a_new_row_itself(logs):
    failures = Failures(AT_ONCE)
    work = Work(OSError(), OSError(), OSError())

    async def connected():
        if work.turns == 2:
            failures.clear()
        await work()

    async with running(connected, failures=failures):
        await work.done.wait()
    assert [entry["attempt"] for entry in logs] == [1, 2, 1]


async def test_more_to_do_is_done_at_once_and_otherwise_it_waits():
    work = Work(MORE, MORE, NO_MORE)
    async with running(work, every=3600):
        await work.last.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert work.turns == 3


async def test_a_wake_up_begins_the_next_turn_early():
    wake = asyncio.Event()
    work = Work(NO_MORE)
    async with running(work, every=3600, wake=wake):
        await work.last.wait()
        wake.set()
        await work.done.wait()


async def test_a_wake_up_during_a_turn_is_not_lost():
    wake = asyncio.Event()
    turns = 0
    done = asyncio.Event()

    async def work():
        nonlocal turns
        turns += 1
        if turns == 1:
            wake.set()  # set by another task, between two lines of this turn
        else:
            done.set()

    async with running(work, every=3600, wake=wake):
        await done.wait()


async def test_until_success_returns_what_the_work_returned():
    work = Work(OSError(), "made")
    result = await until_success(
        work, name="test", passes=passes_if(OSError), failures=Failures(AT_ONCE)
    )
    assert (result, work.turns) == ("made", 2)


def test_delays_grow_to_the_last_and_are_longer_by_a_quarter_at_most():
    for _ in range(100):
        failures = Failures()
        delays = [failures.count() for _ in range(8)]
        for delay, number in zip(delays, [*BACKOFF, 5.0, 5.0], strict=True):
            assert number <= delay <= 1.25 * number
        assert failures.number == 8


def test_two_processes_do_not_come_back_in_the_same_moment():
    first, second = Failures((1.0,)), Failures((1.0,))
    assert [first.count() for _ in range(5)] != [second.count() for _ in range(5)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(), True),
        (TimeoutError(), True),
        (KeyError(), False),
        (ExceptionGroup("", [OSError(), ExceptionGroup("", [TimeoutError()])]), True),
        (ExceptionGroup("", [OSError(), KeyError()]), False),
    ],
)
def test_a_group_passes_if_all_its_members_do(error, expected):
    assert passes_if(OSError)(error) is expected


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a"), "ValueError: a"),
        (ValueError(), "ValueError: "),
        (ValueError("a\nDETAIL: secret"), "ValueError: a"),
        (ValueError("a\0b\ud800"), "ValueError: a\\x00b\\ud800"),
        (
            ExceptionGroup("", [OSError("a"), ExceptionGroup("", [KeyError("b")])]),
            "OSError: a; KeyError: 'b'",
        ),
        (ValueError("x" * 3000), ("ValueError: " + "x" * 3000)[:2000]),
    ],
)
def test_an_error_is_one_line(error, text):
    assert describe(error) == text
