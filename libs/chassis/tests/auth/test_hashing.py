"""The queue of passwords is first in, first out, limited in number and in time, and measured."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from chassis.auth.hashing import HashQueue, PasswordsBusy


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def busy(registry: CollectorRegistry, **bounds: float) -> HashQueue:
    """Return a queue with one turn and room for two that wait."""
    given = {"seconds": 60.0, **bounds}
    return HashQueue(turns=1, waiting=2, registry=registry, **given)


async def waiting(queue: HashQueue, number: int) -> None:
    async with asyncio.timeout(30):
        while True:
            if queue.waiting == number:
                return
            await asyncio.sleep(0)


async def test_turns_come_in_the_order_of_asking(registry: CollectorRegistry):
    queue = busy(registry)
    order: list[str] = []

    async def turn(name: str) -> None:
        await queue.take_turn()
        order.append(name)
        queue.end_turn()

    await queue.take_turn()
    async with asyncio.TaskGroup() as group:
        for number, name in enumerate("ab"):
            group.create_task(turn(name))
            await waiting(queue, number + 1)
        queue.end_turn()
    assert order == ["a", "b"]
    assert queue.waiting == queue.running == 0


async def test_one_beyond_the_number_is_refused_at_once(registry: CollectorRegistry):
    queue = busy(registry)
    await queue.take_turn()
    async with asyncio.TaskGroup() as group:
        waiters = [group.create_task(queue.take_turn()) for _ in range(2)]
        await waiting(queue, 2)
        with pytest.raises(PasswordsBusy, match="2 passwords are waiting") as refused:
            await queue.take_turn()
        assert refused.value.retry_after == 60
        with pytest.raises(PasswordsBusy):
            queue.check_room()
        assert queue.waiting == 2
        for waiter in waiters:
            waiter.cancel()
    assert registry.get_sample_value("password_queue_refused_total", {"reason": "full"}) == 2


async def test_one_that_waited_too_long_is_refused_and_gives_its_place_up(
    registry: CollectorRegistry,
):
    queue = busy(registry, seconds=0.01)
    await queue.take_turn()
    for _ in range(3):  # more than the queue holds, one after another
        with pytest.raises(PasswordsBusy, match=r"waited 0\.01 s") as refused:
            await queue.take_turn()
        assert refused.value.retry_after == 1
    assert queue.waiting == 0
    queue.end_turn()
    await queue.take_turn()
    assert registry.get_sample_value("password_queue_refused_total", {"reason": "late"}) == 3


async def test_one_that_is_cancelled_gives_its_place_up(registry: CollectorRegistry):
    queue = busy(registry)
    await queue.take_turn()
    gone = [asyncio.create_task(queue.take_turn()) for _ in range(2)]
    await waiting(queue, 2)
    for one in gone:
        one.cancel()
    await asyncio.wait(gone)
    assert all(one.cancelled() for one in gone)
    assert queue.waiting == 0
    queue.end_turn()
    await queue.take_turn()


async def test_between_its_turn_and_its_cancellation_no_turn_is_lost(registry: CollectorRegistry):
    """The turn is handed to a waiter, which is cancelled before it runs again."""
    queue = busy(registry)
    await queue.take_turn()
    gone = asyncio.create_task(queue.take_turn())
    await waiting(queue, 1)
    next_one = asyncio.create_task(queue.take_turn())
    await waiting(queue, 2)
    queue.end_turn()
    gone.cancel()
    await asyncio.wait([gone])
    if not gone.cancelled():
        queue.end_turn()
    await next_one
    assert queue.running == 1


async def test_the_queue_is_measured(registry: CollectorRegistry):
    queue = busy(registry)
    for reason in ("full", "late"):
        assert registry.get_sample_value("password_queue_refused_total", {"reason": reason}) == 0
    await queue.take_turn()
    waiter = asyncio.create_task(queue.take_turn())
    await waiting(queue, 1)
    assert registry.get_sample_value("password_queue_waiting") == 1
    assert registry.get_sample_value("password_queue_running") == 1
    assert registry.get_sample_value("password_queue_turns_limit") == 1
    queue.end_turn()
    await waiter
    queue.end_turn()
    assert registry.get_sample_value("password_queue_waiting") == 0
    assert registry.get_sample_value("password_queue_running") == 0
    assert registry.get_sample_value("password_queue_wait_seconds_count") == 2
