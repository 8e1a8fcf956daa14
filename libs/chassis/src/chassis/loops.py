"""Loops that repeat work for as long as a process lives, and retry it after an outage.

An unavailable system (PostgreSQL, Kafka) does not end the process: the work is retried after a
delay that grows. Any other error is a fault of our code, and ends the process.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import structlog

from chassis.error_text import describe, leaves

log = structlog.get_logger(__name__)

BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait after the first failure, the second …; the last number holds for all others."""

_SPREAD = 0.25
# The system's generator: code that seeds Python's own must not be affected.
_CHANCE = random.SystemRandom()

type Passes = Callable[[BaseException], bool]
"""Returns whether the same work may succeed later although it has just raised this error."""


class Failures:
    """Counts consecutive failures, and determines how long to wait after each.

    A delay is its number plus a random part of up to a quarter. So processes that lose a server at
    the same moment do not all retry at the same moment. A delay is never shorter than its number,
    so that the first delays together are long enough for a restart or a failover.

    Args:
        backoff: seconds to wait after the first failure, the second …

    Attributes:
        number: the number of consecutive failures.
    """

    def __init__(self, backoff: Sequence[float] = BACKOFF) -> None:
        self._backoff = backoff
        self.number = 0

    def clear(self) -> None:
        """Record a success: the next failure counts as the first."""
        self.number = 0

    def count(self) -> float:
        """Count one more failure, and return the seconds to wait."""
        delay = self._backoff[min(self.number, len(self._backoff) - 1)]
        self.number += 1
        return delay * (1 + _SPREAD * _CHANCE.random())


def passes_if(*types: type[BaseException]) -> Passes:
    """Return a test that accepts errors of these types, and groups of only such errors."""
    return lambda error: all(isinstance(one, types) for one in leaves(error))


async def until_success[T](
    work: Callable[[], Awaitable[T]],
    *,
    name: str,
    passes: Passes,
    failures: Failures | None = None,
) -> T:
    """Return the result of `work`, which is retried until it succeeds.

    Args:
        work: called for each attempt.
        name: the name of the work, for the log.
        passes: returns whether an error is temporary and retried; any other is raised.
        failures: determines the delays. Long-running work clears it once it makes progress.
    """
    failures = failures or Failures()
    while True:
        try:
            result = await work()
        except Exception as error:
            if not passes(error):
                raise
            delay = failures.count()
            log.warning(
                "work failed, retrying",
                work=name,
                error=describe(error),
                attempt=failures.number,
                delay_s=round(delay, 3),
            )
            await asyncio.sleep(delay)
        else:
            failures.clear()
            return result


async def for_ever(
    work: Callable[[], Awaitable[bool | None]],
    *,
    every: float,
    name: str,
    passes: Passes,
    failures: Failures | None = None,
    wake: asyncio.Event | None = None,
) -> NoReturn:
    """Repeat `work` until this task is cancelled.

    Args:
        work: called for each turn. It returns True to start the next turn at once.
        every: seconds from the end of a turn to the start of the next.
        name: the name of the work, for the log.
        passes: returns whether an error is temporary and retried; any other is raised.
        failures: determines the delays. Long-running work clears it once it makes progress.
        wake: starts the next turn early when it is set.
    """
    failures = failures or Failures()
    while True:
        if wake is not None:
            wake.clear()
        if not await until_success(work, name=name, passes=passes, failures=failures):
            await pause(every, wake)


async def pause(seconds: float, wake: asyncio.Event | None) -> None:
    """Sleep `seconds`, or until `wake` is set."""
    if wake is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
