"""Work that must finish although its task is cancelled."""

import asyncio

import pytest

from chassis.cancellation import closed_by, to_the_end


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
