"""The streams of events that this process passes on: they have no deadline, and end with it."""

import asyncio
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge


class Stream(Protocol):
    """A response that is a stream of events."""

    def end_stream(self) -> None:
        """End the response as a complete one."""


class Streams:
    """Holds the responses that are streams of events (SSE).

    Args:
        registry: the registry of the gauge.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.draining = False
        self._open: set[Stream] = set()
        self._gauge = Gauge(
            "gateway_streams", "Streams of events that are open.", registry=registry
        )

    def began(self, stream: Stream) -> None:
        """Hold a stream until it ends."""
        self._open.add(stream)
        self._gauge.inc()

    def ended(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        if stream in self._open:
            self._open.discard(stream)
            self._gauge.dec()

    async def end_when(self, stopping: asyncio.Event) -> None:
        """End all streams once the process is told to stop: they would hold it up.

        The client connects again after the time that the service named at the stream's beginning,
        which is random for each stream.
        """
        await stopping.wait()
        self.draining = True
        for stream in list(self._open):
            stream.end_stream()
