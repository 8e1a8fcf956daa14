"""The delay of the event loop: the time that a callback waits behind blocking work."""

import asyncio

from prometheus_client import CollectorRegistry, Histogram

_EVERY_SECONDS = 0.25
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class LoopDelay:
    """Measures the delay of the event loop four times a second.

    Args:
        registry: the metrics registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delay = Histogram(
            "event_loop_delay_seconds",
            "Between the time that a timer was due and the time that its callback ran.",
            buckets=_SECONDS,
            registry=registry,
        )

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._delay.observe(max(0.0, loop.time() - due))
