"""Export of spans in the background: bounded in memory and at the end, and every span counted.

A collector that stalls must cost spans and nothing else: no request waits for it, the queue does
not grow, and the process ends in time.
"""

import threading
import time
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Counter

QUEUED_SPANS = 4096
_BATCH_SPANS = 512
_DELAY_MS = 500
# The SDK would send all that is queued when the process ends, each batch with its own time-out.
_LAST_SECONDS = 3.0


class SpanMetrics:
    """Counts spans by what became of them.

    Args:
        registry: the metrics registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter(
            "telemetry_spans_total",
            "Sampled spans by outcome: exported; failed (the collector did not take them in time); "
            "dropped (the queue was full, or the process ended).",
            ["outcome"],
            registry=registry,
        )
        self.exported = counter.labels("exported")
        self.failed = counter.labels("failed")
        self.dropped = counter.labels("dropped")


class _CountedExporter(SpanExporter):
    """Counts what `exporter` did; exports nothing more once its time is over."""

    def __init__(self, exporter: SpanExporter, metrics: SpanMetrics) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._until: float | None = None
        self.taken = 0

    def end_within(self, seconds: float) -> None:
        """Begin no export later than in so many seconds."""
        self._until = time.monotonic() + seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; called by the processor's own thread."""
        self.taken += len(spans)
        if self._until is not None and time.monotonic() >= self._until:
            self._metrics.dropped.inc(len(spans))
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        counter = (
            self._metrics.exported if result is SpanExportResult.SUCCESS else self._metrics.failed
        )
        counter.inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Close the connections."""
        self._exporter.shutdown()


class BoundedExport(BatchSpanProcessor):
    """Exports spans from a thread of its own, and drops new ones while its queue is full.

    The SDK's queue is never full behind it: the SDK writes a log line for each span that it drops,
    and counts them only in metrics of its own, which would need a second registry.

    Args:
        exporter: sends batches; each call must end by itself.
        metrics: counts the spans.
        queued: the spans that wait at most.
    """

    def __init__(
        self, exporter: SpanExporter, metrics: SpanMetrics, *, queued: int = QUEUED_SPANS
    ) -> None:
        self._counted = _CountedExporter(exporter, metrics)
        super().__init__(
            self._counted,
            max_queue_size=queued,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=min(_BATCH_SPANS, queued),
        )
        self._dropped = metrics.dropped
        self._queued = queued
        self._accepted = 0
        self._lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that is sampled, or drop it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:  # spans also end in threads that hash passwords
            if self._accepted - self._counted.taken >= self._queued:
                self._dropped.inc()
                return
            self._accepted += 1
        super().on_end(span)

    def shutdown(self) -> None:
        """Export what is queued, for a few seconds; what is left is dropped."""
        self._counted.end_within(_LAST_SECONDS)
        super().shutdown()  # type: ignore[no-untyped-call]  # the SDK's method has no types
