"""The streams of events that this process passes on: they have no deadline, and end with it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge


class Streams:
    """Holds the responses that are streams of events (SSE).

    Args:
        registry: the registry of the gauge.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.draining = False
        self._open: set[asyncio.Timeout] = set()
        self._gauge = Gauge(
            "gateway_streams", "Streams of events that are open.", registry=registry
        )

    @contextmanager
    def unlimited(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """Lift the deadline of an exchange whose response is a stream, until the process stops."""
        self._open.add(deadline)
        self._gauge.inc()
        deadline.reschedule(asyncio.get_running_loop().time() if self.draining else None)
        try:
            yield
        finally:
            self._open.discard(deadline)
            self._gauge.dec()

    async def end_when(self, stopping: asyncio.Event) -> None:
        """End all streams once the process is told to stop: they would hold it up.

        The client connects again after the time that the service named at the stream's beginning,
        which is random for each stream.
        """
        await stopping.wait()
        self.draining = True
        now = asyncio.get_running_loop().time()
        for deadline in self._open:
            if not deadline.expired():
                deadline.reschedule(now)
