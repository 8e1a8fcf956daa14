"""The streams of events that this process passes on.

They have no deadline. They end with the process, or once their service sends nothing for a time.
"""

import asyncio
import time
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge


class Stream(Protocol):
    """A response that is a stream of events."""

    def end_stream(self) -> None:
        """End the response as a complete one."""


class Streams:
    """Holds the responses that are streams of events (SSE).

    Args:
        idle_seconds: how long a service may send nothing.
        registry: the registry of the metrics.
    """

    def __init__(self, *, idle_seconds: float, registry: CollectorRegistry) -> None:
        self.draining = False
        self._idle_seconds = idle_seconds
        self._open: set[Stream] = set()
        self._gauge = Gauge(
            "gateway_streams", "Streams of events that are open.", registry=registry
        )

        self._idle = Counter(
            "gateway_streams_idle",
            "Streams of events that were ended because their service sent nothing.",
            registry=registry,
        )

    def began(self, stream: Stream) -> float:
        """Hold a stream until it ends; return `silent_until`."""
        self._open.add(stream)
        self._gauge.inc()
        return self.silent_until()

    def ended(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        self._open.discard(stream)
        self._gauge.dec()

    def silent_until(self) -> float:
        """Return until when a service that sends now may be silent, by `time.monotonic`."""
        return time.monotonic() + self._idle_seconds

    def end_silent(self, stream: Stream) -> None:
        """End a stream whose service was silent for too long; its client connects again."""
        self._idle.inc()
        stream.end_stream()

    async def end_when(self, stopping: asyncio.Event) -> None:
        """End all streams once the process is told to stop: they would hold it up.

        The client connects again after the time that the service named at the stream's beginning,
        which is random for each stream.
        """
        await stopping.wait()
        self.draining = True
        for stream in list(self._open):
            stream.end_stream()
