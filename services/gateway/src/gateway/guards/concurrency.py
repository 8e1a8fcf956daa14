"""A limit of concurrent requests that follows what a service can take.

Additive increase, multiplicative decrease (D. Chiu, R. Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989), as in Netflix's concurrency-limits
(`AIMDLimit`): a response in time raises the limit by one if half of it was in use; a slow response
or none lowers it by a tenth. It is lowered at most once in 100 ms, since the requests of one moment
are slow together.
"""

from typing import Final

DECREASE: Final = 0.9
COOLDOWN_SECONDS: Final = 0.1


class ConcurrencyLimit:
    """The limit for one service.

    Args:
        floor: the lowest limit. It lets enough pass to notice that the service is fast again.
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

    def enter(self) -> bool:
        """Take a place, and return whether there was one."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    def leave(self, now: float, *, slow: bool | None) -> None:
        """Give up a place.

        Args:
            now: seconds of a clock that never goes back.
            slow: whether the response was late or missing; None if that is unknown.
        """
        used = self.in_flight
        self.in_flight -= 1
        if slow:
            if now - self._lowered_at >= COOLDOWN_SECONDS:
                self._lowered_at = now
                self.limit = max(self._floor, int(self.limit * DECREASE))
        elif slow is not None and self.limit < self._ceiling and used * 2 >= self.limit:
            self.limit += 1
