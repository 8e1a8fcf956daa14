"""A circuit breaker: it stops requests to a service that fails, and tries it again by itself.

The states, after M. Nygard, "Release It!", ch. 5, with the thresholds of Hystrix's defaults::

    closed ── 20 results in 10 s, half of them failures ──> open
    open ── 5 s (with jitter; doubles up to 30 s) ──> half-open
    half-open ── 3 probes in a row succeed ──> closed
    half-open ── a probe fails ──> open

While half-open, one request at a time is the probe. A result counts only in the state in which its
request was admitted: a time-out of a request from before must not fail a probe. With less traffic
than 20 requests in 10 s the breaker never opens: then there is no crowd to protect anybody from.
"""

from collections.abc import Callable
from enum import IntEnum

from chassis.backoff import full_jitter

MIN_RESULTS = 20
WINDOW_SECONDS = 10.0
FAILED_SHARE = 0.5
OPEN_SECONDS = 5.0
LONGEST_OPEN_SECONDS = 30.0
PROBES_TO_CLOSE = 3


class State(IntEnum):
    """The state of a breaker; the number is the value of its gauge."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """The breaker of one service.

    Args:
        jitter: returns a random delay of up to so many seconds.

    Attributes:
        moved: called with each new state.
    """

    def __init__(self, *, jitter: Callable[[float], float] | None = None) -> None:
        self._jitter = jitter or _jitter
        self.moved: Callable[[State], None] = _nobody
        self.state = State.CLOSED
        self._epoch = 0
        self._began = 0.0
        self._results = [0, 0]  # of the present half of the window, and of the one before
        self._failures = [0, 0]
        self._opened = 0  # times in a row
        self._open_until = 0.0
        self._probing = False
        self._passed = 0

    def admit(self, now: float) -> int | None:
        """Return the number to report the result with, or None if no request may be sent.

        While half-open the request is the probe.

        Args:
            now: seconds of a clock that never goes back.
        """
        if self.state is State.CLOSED:
            return self._epoch
        if self.state is State.OPEN:
            if now < self._open_until:
                return None
            self._enter(State.HALF_OPEN)
            self._passed, self._probing = 0, False
        if self._probing:
            return None
        self._probing = True
        return self._epoch

    def seconds_left(self, now: float) -> float:
        """Return the time until the service is tried again; 0 if that may be at any moment."""
        return max(0.0, self._open_until - now) if self.state is State.OPEN else 0.0

    def record(self, now: float, epoch: int, *, failed: bool | None) -> None:
        """Count the result of a request.

        Args:
            now: as in `admit`.
            epoch: what `admit` returned.
            failed: whether it failed; None if that is unknown.
        """
        if epoch != self._epoch:
            return
        if self.state is State.HALF_OPEN:
            self._probing = False
            if failed is not None:
                self._probed(now, failed=failed)
        elif failed is not None:
            self._count(now, failed=failed)

    def _count(self, now: float, *, failed: bool) -> None:
        half = WINDOW_SECONDS / 2
        if now - self._began >= half:
            stale = now - self._began >= WINDOW_SECONDS
            self._results = [0, 0 if stale else self._results[0]]
            self._failures = [0, 0 if stale else self._failures[0]]
            self._began = now
        self._results[0] += 1
        if not failed:
            return
        self._failures[0] += 1
        results = sum(self._results)
        if results >= MIN_RESULTS and sum(self._failures) >= results * FAILED_SHARE:
            self._open(now)

    def _probed(self, now: float, *, failed: bool) -> None:
        if failed:
            self._open(now)
            return
        self._passed += 1
        if self._passed == PROBES_TO_CLOSE:
            self._enter(State.CLOSED)
            self._opened = 0
            self._began, self._results, self._failures = now, [0, 0], [0, 0]

    def _open(self, now: float) -> None:
        self._opened += 1
        seconds = min(LONGEST_OPEN_SECONDS, OPEN_SECONDS * 2.0 ** min(self._opened - 1, 10))
        # Half of it is random, so that the gateways don't all probe at the same moment.
        self._open_until = now + seconds / 2 + self._jitter(seconds / 2)
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._epoch += 1
        self.moved(state)


def _nobody(_: State) -> None:
    """Follow no moves."""


def _jitter(longest: float) -> float:
    return full_jitter(1, first=longest, longest=longest)
