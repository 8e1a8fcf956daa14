"""Deadlines without timers: one look at all that is in flight, every 100 ms."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

SWEEP_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Expiring(Protocol):
    """Something that must not last for ever."""

    def expire(self, now: float) -> None:
        """End what is late at `now`, in seconds of `time.monotonic`."""

    def stop(self) -> None:
        """End, because the process is about to stop."""


class Sweep:
    """Looks at everything that is in flight.

    A timer for each request would cost more than the look: most requests end before the next one.

    Args:
        others: called once a sweep.
    """

    def __init__(self, *others: Callable[[], None]) -> None:
        self._in_flight: set[Expiring] = set()
        self._others = others
        self.add = self._in_flight.add
        self.discard = self._in_flight.discard

    @property
    def in_flight(self) -> list[Expiring]:
        """All that is in flight."""
        return list(self._in_flight)

    async def run(self) -> None:
        """Sweep until this is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.once(time.monotonic())

    def once(self, now: float) -> None:
        """Sweep once. A fault in one exchange must not leave the others without deadlines."""
        for expiring in self.in_flight:
            try:
                expiring.expire(now)
            except Exception:
                log.exception("sweep failed")
        for other in self._others:
            other()
