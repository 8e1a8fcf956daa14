"""Work that must finish although its task is cancelled, and work that a library cancels."""

import asyncio
from contextlib import nullcontext

import pytest

from chassis.cancellation import (
    GuardedTaskGroup,
    StrayCancellationError,
    all_of,
    closed_by,
    guarded,
    to_the_end,
)


async def await_what_a_library_cancels():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def test_a_task_that_a_library_cancels_from_within_ends_its_group_with_an_error():
    """asyncio's own group takes it for a task that was cancelled on purpose, and goes on."""
    ended = asyncio.Event()

    async def other():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.RaisesGroup(StrayCancellationError):
        async with asyncio.timeout(5), GuardedTaskGroup() as group:
            group.create_task(other())
            group.create_task(await_what_a_library_cancels())
    assert ended.is_set()


async def test_a_task_that_is_cancelled_on_purpose_leaves_its_group_alone():
    async with GuardedTaskGroup() as group:
        begun, cancelled = (group.create_task(asyncio.Event().wait()) for _ in range(2))
        never_begun = group.create_task(asyncio.sleep(0))
        never_begun.cancel()
        await asyncio.sleep(0)
        cancelled.cancel()
        begun.cancel()
    assert all(task.cancelled() for task in (begun, cancelled, never_begun))


async def test_a_group_that_has_ended_its_tasks_closes_the_work_that_comes_later():
    async def later(group):
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(RuntimeError):
                group.create_task(asyncio.sleep(0))

    with pytest.RaisesGroup(StrayCancellationError):
        async with GuardedTaskGroup() as group:
            group.create_task(later(group))
            group.create_task(await_what_a_library_cancels())


async def test_the_failure_of_one_work_ends_the_others_before_it_is_raised():
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def fail():
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await all_of([hang(), fail()])
    assert ended.is_set()


async def test_the_results_of_all_work_are_in_its_order():
    async def after(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await all_of(after(turns) for turns in (3, 0, 1)) == [3, 0, 1]
    assert await all_of([]) == []


@pytest.mark.parametrize("limit", [0, None])
async def test_a_time_limit_is_no_stray_cancellation(limit):
    with nullcontext() if limit is None else pytest.raises(TimeoutError):
        async with asyncio.timeout(limit):
            await guarded(asyncio.sleep(0 if limit is None else 5))


async def test_work_that_must_finish_does_however_often_it_is_cancelled():
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def work():
        await go_on.wait()
        ended.set()

    running = asyncio.ensure_future(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    go_on.set()
    await asyncio.wait([running])
    assert running.cancelled()
    assert ended.is_set()


async def test_work_that_must_finish_raises_its_error():
    async def fail():
        raise LookupError

    with pytest.raises(LookupError):
        await to_the_end(fail())


async def test_work_that_never_ends_is_cancelled_after_its_time_and_not_before():
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    running = asyncio.ensure_future(to_the_end(hang(), patience=0.05))
    await begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not cancelled.is_set()
    async with asyncio.timeout(5):
        await asyncio.wait([running])
    assert running.cancelled()
    assert cancelled.is_set()


class Resource:
    """Closes after a while, or fails to close."""

    def __init__(self, error=None):
        self.closing, self.go_on = asyncio.Event(), asyncio.Event()
        self.closed = 0
        self._error = error

    async def close(self):
        self.closing.set()
        await self.go_on.wait()
        self.closed += 1
        if self._error is not None:
            raise self._error


async def test_the_error_that_ends_a_block_is_raised_although_the_close_fails_as_well():
    resource = Resource(error=OSError("dead"))
    resource.go_on.set()

    async def use():
        async with closed_by(resource.close):
            await asyncio.Event().wait()

    running = asyncio.ensure_future(use())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert resource.closed == 1


async def test_between_the_begin_of_a_close_and_its_failure_a_cancellation_is_not_lost():
    resource = Resource(error=OSError("dead"))

    async def use():
        async with closed_by(resource.close):
            raise LookupError

    running = asyncio.ensure_future(use())
    await resource.closing.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    resource.go_on.set()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_a_close_that_fails_by_itself_is_reported():
    resource = Resource(error=OSError("dead"))
    resource.go_on.set()

    async def use():
        async with closed_by(resource.close):
            pass

    with pytest.raises(OSError, match="dead"):
        await use()
    assert resource.closed == 1
