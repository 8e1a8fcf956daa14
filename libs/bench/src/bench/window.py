"""The window of a side that counts what it has done: never one in which nothing happened."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bench.rounds import Sample

_POLL_SECONDS = 0.01
_FIRST_SECONDS = 60.0
_STALL_SECONDS = 5.0


async def watch(
    done: Callable[[], Awaitable[float]],
    cpu: Callable[[], float],
    seconds: float,
    *,
    work: asyncio.Future[None] | None = None,
    settle: float = 0,
) -> Sample:
    """Count what is done in a window of at least so many seconds.

    It opens `settle` seconds after the first operation, and stays open until there is one in it,
    or for five seconds more: on a busy machine nothing at all may happen in a short window, and a
    rate of nothing is no figure.

    Args:
        done: returns how many operations were done so far.
        cpu: returns the seconds of CPU that the process under test has taken.
        seconds: of the window.
        work: closes the window when it ends.
        settle: seconds of load before the window.

    Raises:
        TimeoutError: nothing was done in the first minute.
    """
    async with asyncio.timeout(_FIRST_SECONDS):
        await _until_more(done, 0, work)
    await _pause(settle, work)
    before, began, cpu_before = await done(), time.monotonic(), cpu()
    await _pause(seconds, work)
    with suppress(TimeoutError):  # nothing is left to do, as the caller sees
        async with asyncio.timeout(_STALL_SECONDS):
            await _until_more(done, before, work)
    operations = await done() - before
    return Sample(
        operations=int(operations),
        seconds=time.monotonic() - began,
        cpu=cpu() - cpu_before,
    )


async def _until_more(
    done: Callable[[], Awaitable[float]], than: float, work: asyncio.Future[None] | None
) -> None:
    while await done() <= than and not (work and work.done()):  # noqa: ASYNC110 - a counter
        await asyncio.sleep(_POLL_SECONDS)


async def _pause(seconds: float, work: asyncio.Future[None] | None) -> None:
    if work is None:
        await asyncio.sleep(seconds)
    else:
        await asyncio.wait([work], timeout=seconds)
