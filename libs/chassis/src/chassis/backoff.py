"""The delay before a retry."""

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
