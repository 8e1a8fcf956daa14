"""The queue of passwords that wait to be hashed, bounded by number and by time.

A hash takes tens of milliseconds of a core, and an unauthenticated client can cause one. Without
the bounds, a flood of log-ins would still be processed long after its clients have disconnected.
"""

import asyncio
import math
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chassis.errors import Unavailable

QUEUE_SECONDS = 2.0
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5)


class PasswordsBusy(Unavailable):
    """Too many passwords are being checked at the moment.

    The queue is full, or this password waited longer than the limit.
    """


class HashQueue:
    """Limits how many passwords are hashed at a time; the others wait in order of arrival.

    Args:
        turns: how many passwords may be hashed at a time.
        waiting: how many more may wait. A further one is rejected at once.
        seconds: how long one may wait before it is rejected.
        registry: where the queue's metrics are registered. None exposes no metrics.

    Attributes:
        turns: how many passwords may be hashed at a time.
    """

    def __init__(
        self,
        *,
        turns: int,
        waiting: int,
        seconds: float = QUEUE_SECONDS,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.turns = turns
        self._room = waiting
        self._seconds = seconds
        self._waiting = 0
        self._running = 0
        self._free = asyncio.Semaphore(turns)  # first come, first served
        self._register_metrics(CollectorRegistry() if registry is None else registry)

    @property
    def waiting(self) -> int:
        """The number of passwords that wait for their turn."""
        return self._waiting

    @property
    def running(self) -> int:
        """The number that are being hashed, including those whose client has disconnected."""
        return self._running

    def check_room(self) -> None:
        """Raise PasswordsBusy if the queue is full now.

        A caller with other work to do before the hash checks this first, to avoid wasted work.
        """
        if self._free.locked() and self._waiting >= self._room:
            self._refused.labels("full").inc()
            message = (
                f"{self._waiting} passwords are waiting to be hashed, and no more may wait. "
                f"Try again in {self._retry_after} s."
            )
            raise PasswordsBusy(message, retry_after=self._retry_after)

    async def take_turn(self) -> None:
        """Wait for a turn; the caller must end it with ``end_turn``.

        A caller that is rejected or cancelled leaves the queue at once.

        Raises:
            PasswordsBusy: the queue is full, or the wait exceeded its limit.
        """
        self.check_room()
        began = perf_counter()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            self._refused.labels("late").inc()
            message = (
                f"The password waited {self._seconds:g} s to be hashed, the longest that one may "
                f"wait. Try again in {self._retry_after} s."
            )
            raise PasswordsBusy(message, retry_after=self._retry_after) from None
        finally:
            self._waiting -= 1
            self._waited.observe(perf_counter() - began)
        self._running += 1

    def end_turn(self) -> None:
        """End a turn, so that the next waiting password gets one."""
        self._running -= 1
        self._free.release()

    @property
    def _retry_after(self) -> int:
        """Seconds after which every password that waits now has had its turn or was rejected."""
        return max(1, math.ceil(self._seconds))

    def _register_metrics(self, registry: CollectorRegistry) -> None:
        Gauge(
            "password_queue_waiting",
            "Passwords that wait for their turn to be hashed.",
            registry=registry,
        ).set_function(lambda: self._waiting)
        Gauge(
            "password_queue_running", "Passwords that are being hashed.", registry=registry
        ).set_function(lambda: self._running)
        Gauge(
            "password_queue_turns_limit",
            "Passwords that may be hashed at a time.",
            registry=registry,
        ).set(self.turns)
        self._refused = Counter(
            "password_queue_refused",
            "Passwords that were not hashed, by reason: full (no more may wait), late (the longest "
            "wait was over).",
            ["reason"],
            registry=registry,
        )
        for reason in ("full", "late"):
            self._refused.labels(reason)
        self._waited = Histogram(
            "password_queue_wait_seconds",
            "How long passwords waited, for a turn or until they were refused or gave up.",
            buckets=_SECONDS,
            registry=registry,
        )
