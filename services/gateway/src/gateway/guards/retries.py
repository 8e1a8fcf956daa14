"""Whether and when a request is sent again: within a budget, and only if it can do no harm.

The budget is a bucket of tokens, as in gRPC's retry throttling (proposal A6) and Finagle's
RetryBudget: each request puts a tenth of a token in, and each retry takes one out. So retries add
at most 10 % to the load of a service, when it is least able to bear more.
"""

from collections.abc import Callable
from typing import Final

from chassis.backoff import full_jitter

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Methods that may be sent twice (RFC 9110 §9.2.2)."""
MAX_RETRIES: Final = 2
SHARE: Final = 0.1
MAX_TOKENS: Final = 10.0
"""Also the tokens at start: a service with little traffic is retried too."""
FIRST_SECONDS: Final = 0.025
LONGEST_SECONDS: Final = 0.25


class RetryBudget:
    """The retries of one service.

    Args:
        jitter: returns a random delay after so many attempts.

    Attributes:
        full: whether a deposit changes nothing, as at most times.
    """

    def __init__(self, *, jitter: Callable[[int], float] | None = None) -> None:
        self._jitter = jitter or _jitter
        self._tokens = MAX_TOKENS
        self.full = True

    def deposit(self) -> None:
        """Count a request that is no retry."""
        self._tokens = min(MAX_TOKENS, self._tokens + SHARE)
        self.full = self._tokens == MAX_TOKENS

    def delay(self, method: bytes, *, retries: int) -> float | None:
        """Return the seconds after which a request may be sent again, or None if it may not.

        Ask only after the connection failed, before a byte of the response arrived.

        Args:
            method: the request's method.
            retries: how often it was sent again already.
        """
        if method not in IDEMPOTENT or retries >= MAX_RETRIES or self._tokens < 1:
            return None
        self._tokens -= 1
        self.full = False
        return self._jitter(retries + 1)


def _jitter(attempts: int) -> float:
    return full_jitter(attempts, first=FIRST_SECONDS, longest=LONGEST_SECONDS)
