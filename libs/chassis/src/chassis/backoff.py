"""The delay before a retry, and before work that is done from time to time."""

import random

_MAX_DOUBLINGS = 30
# The system's generator: code that seeds Python's own must not be affected.
_CHANCE = random.SystemRandom()


def full_jitter(attempts: int, *, first: float, longest: float) -> float:
    """Return a random delay in seconds, from 0 to a bound that doubles with each attempt.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        attempts: how many attempts were made; at least 1.
        first: the bound after the first attempt.
        longest: the largest bound.
    """
    bound = min(longest, first * 2.0 ** min(attempts - 1, _MAX_DOUBLINGS))
    return _CHANCE.uniform(0, bound)


def pause_by_share(took: float, *, share: float, shortest: float, longest: float) -> float:
    """Return how long to wait in seconds before work that takes long begins again.

    Args:
        took: how long it took last, by the clock. That includes the time for which this process or
            the server did not run, so a long pause may have no reason: `longest` bounds it.
        share: the maximum share of the time that the work takes.
        shortest: the shortest pause.
        longest: the longest pause; then the work may take a larger share.
    """
    return min(longest, max(shortest, took / share))
