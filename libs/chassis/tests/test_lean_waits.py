"""An event and a queue that hold no memory while nothing waits behave as asyncio's."""

import asyncio
import sys

import pytest

from chassis.lean_waits import LeanEvent, LeanQueue


async def ended(*tasks):
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def blocked():
    """Let each task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


class TestEvent:
    async def test_all_that_wait_are_woken_even_if_it_is_cleared_at_once(self):
        event = LeanEvent()
        waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
        await blocked()
        event.set()
        event.clear()
        assert await ended(*waiting) == [True, True, True]
        assert not event.is_set()

    async def test_nobody_waits_while_it_is_set(self):
        event = LeanEvent(is_set=True)
        event.set()
        waiting = event.wait()
        with pytest.raises(StopIteration, match="True"):
            waiting.send(None)
        assert event.is_set()

    async def test_one_that_is_cancelled_leaves_the_others_waiting(self):
        event = LeanEvent()
        first, second = (asyncio.create_task(event.wait()) for _ in range(2))
        await blocked()
        first.cancel()
        await ended(first)
        assert not second.done()
        event.set()
        assert await ended(second) == [True]

    async def test_one_that_is_cancelled_and_woken_in_the_same_step_is_cancelled(self):
        event = LeanEvent()
        waiting = asyncio.create_task(event.wait())
        await blocked()
        waiting.cancel()
        event.set()
        (result,) = await ended(waiting)
        assert isinstance(result, asyncio.CancelledError)


class TestQueue:
    async def test_items_come_in_the_order_in_which_they_were_put(self):
        queue = LeanQueue[object]()
        waiting = asyncio.create_task(queue.get())
        await blocked()
        for item in range(4):
            queue.put_nowait(item)
        assert not queue.empty()
        assert await ended(waiting) == [0]
        assert [await queue.get() for _ in range(3)] == [1, 2, 3]
        assert queue.empty()

    async def test_an_item_that_comes_as_its_consumer_is_cancelled_stays_for_the_next(self):
        queue = LeanQueue[object]()
        waiting = asyncio.create_task(queue.get())
        await blocked()
        queue.put_nowait("kept")  # the task is woken, and has not run yet
        waiting.cancel()
        (result,) = await ended(waiting)
        assert isinstance(result, asyncio.CancelledError)
        assert await ended(queue.get()) == ["kept"]

    async def test_a_second_consumer_is_a_fault(self):
        queue = LeanQueue[object]()
        waiting = asyncio.create_task(queue.get())
        await blocked()
        with pytest.raises(RuntimeError, match="one consumer"):
            await queue.get()
        queue.put_nowait(1)
        assert await ended(waiting) == [1]

    async def test_an_empty_one_holds_no_deque_after_its_items_were_taken(self):
        queue = LeanQueue[object]()
        queue.put_nowait(None)
        assert await queue.get() is None
        held = sum(sys.getsizeof(getattr(queue, name)) for name in LeanQueue.__slots__)
        assert held + sys.getsizeof(queue) < 100
