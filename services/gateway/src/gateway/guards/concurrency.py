"""A limit of concurrent requests that follows what a service can take.

Additive increase, multiplicative decrease (D. Chiu, R. Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989), as in Netflix's concurrency-limits
(`AIMDLimit`): a response in time raises the limit by one if half of it was in use; a slow response
or none lowers it by a tenth. It is lowered at most once in 100 ms, since the requests of one moment
are slow together.

It never falls below the responses that the service sent in its best recent second. By Little's law
(L = λW) so many requests are in flight if each takes a second, which is not yet slow. Without that
bound a stall lowered the limit to its floor: the requests that had waited came back late, one after
the other, when the service was fast again, and each lowered the limit further.
"""

from collections import deque
from typing import Final

DECREASE: Final = 0.9
COOLDOWN_SECONDS: Final = 0.1
REMEMBERED_SECONDS: Final = 10
"""How long the best second counts. A service that became slower for good is believed after that."""


class Throughput:
    """The responses of each of the last seconds."""

    def __init__(self) -> None:
        self._past: deque[int] = deque([0], maxlen=REMEMBERED_SECONDS)
        self._second = 0
        self._count = 0

    def count(self, now: float) -> None:
        """Count a response, at `now` in seconds of a clock that never goes back."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._count += 1

    def best(self, now: float) -> int:
        """Return the most responses of one whole second of the last ten."""
        self._turn(int(now))
        return max(self._past)

    def _turn(self, second: int) -> None:
        """Begin a second; the ones between had no response."""
        passed = second - self._second
        if passed > 0:
            self._past.append(self._count)
            self._past.extend([0] * min(passed - 1, REMEMBERED_SECONDS))
            self._second, self._count = second, 0


class ConcurrencyLimit:
    """The limit for one service.

    Args:
        floor: the lowest limit of a service that responded to little lately. It lets enough pass to
            notice that the service is fast again.
        ceiling: the highest limit, and the first.

    Attributes:
        limit: the present limit.
        in_flight: the number of requests that hold a place.
    """

    def __init__(self, *, floor: int, ceiling: int) -> None:
        self._floor = min(floor, ceiling)
        self._ceiling = ceiling
        self.limit = ceiling
        self.in_flight = 0
        self._lowered_at = float("-inf")
        self._throughput = Throughput()

    def enter(self) -> bool:
        """Take a place, and return whether there was one."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    def leave(self, now: float, *, slow: bool | None, responded: bool = False) -> None:
        """Give up a place.

        Args:
            now: seconds of a clock that never goes back.
            slow: whether the response was late or missing; None if that is unknown.
            responded: whether the service responded.
        """
        used = self.in_flight
        self.in_flight -= 1
        if responded:
            self._throughput.count(now)
        if slow:
            if now - self._lowered_at >= COOLDOWN_SECONDS:
                self._lowered_at = now
                self.limit = self._lowered(now)
        elif slow is not None and self.limit < self._ceiling and used * 2 >= self.limit:
            self.limit += 1

    def _lowered(self, now: float) -> int:
        lowest = max(self._floor, self._throughput.best(now))
        return max(min(lowest, self.limit), int(self.limit * DECREASE))
