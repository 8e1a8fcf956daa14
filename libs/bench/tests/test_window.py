"""Windows of sides that count what they have done."""

import asyncio
from collections.abc import Awaitable, Callable

from bench.window import watch


def _counter(*figures: float) -> Callable[[], Awaitable[float]]:
    left = list(figures)

    async def done() -> float:
        return left.pop(0) if len(left) > 1 else left[0]

    return done


async def test_a_window_opens_at_the_first_operation_and_waits_for_one_in_it() -> None:
    clock = iter((1.0, 3.0))
    sample = await watch(_counter(0, 0, 4, 4, 4, 4, 7), lambda: next(clock), 0)
    assert (sample.operations, sample.cpu) == (3, 2.0)
    assert sample.seconds > 0


async def test_a_window_closes_when_the_work_has_ended() -> None:
    work = asyncio.get_running_loop().create_future()
    work.set_result(None)
    sample = await watch(_counter(0), lambda: 1.0, 30, work=work)
    assert sample.operations == 0
