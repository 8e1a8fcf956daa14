"""A collector that stalls costs spans, which are counted, and no time of those who make them."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

from chassis.telemetry.exporting import BoundedExport, SpanMetrics

QUEUED = 64
MANY = 1000


class StalledCollector(SpanExporter):
    """Takes a batch, and returns once it is released."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.released = threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.began.set()
        self.released.wait(30)
        self.names += [span.name for span in spans]
        return self.result

    def shutdown(self) -> None:
        pass


class Traced:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.collector = StalledCollector()
        export = BoundedExport(self.collector, SpanMetrics(self.registry), queued=QUEUED)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(export)
        self._tracer = self.provider.get_tracer("t")

    def spans(self, number: int) -> None:
        for _ in range(number):
            self._tracer.start_span("span").end()

    def counted(self, outcome: str) -> float:
        value = self.registry.get_sample_value("telemetry_spans_total", {"outcome": outcome})
        assert value is not None
        return value


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.collector.released.set()
    traced.provider.shutdown()


def test_a_stalled_collector_holds_nobody_up_and_each_span_that_is_lost_is_counted(traced: Traced):
    traced.spans(QUEUED)  # the queue wakes the thread, which takes all of it
    assert traced.collector.began.wait(30)
    started = time.monotonic()
    traced.spans(MANY)
    assert time.monotonic() - started < 10  # it would never end, if a span waited for the collector
    assert traced.counted("dropped") == MANY - QUEUED
    traced.collector.released.set()
    traced.provider.shutdown()
    assert traced.counted("exported") == len(traced.collector.names) == 2 * QUEUED
    assert traced.counted("failed") == 0


def test_spans_that_the_collector_refuses_are_counted_as_failed(traced: Traced):
    traced.collector.result = SpanExportResult.FAILURE
    traced.collector.released.set()
    traced.spans(10)
    traced.provider.shutdown()
    assert (traced.counted("failed"), traced.counted("exported")) == (10, 0)


def test_what_is_left_when_the_time_of_the_end_is_over_is_dropped(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.telemetry.exporting._LAST_SECONDS", 0.0)
    traced.spans(10)
    traced.provider.shutdown()
    assert traced.counted("dropped") == 10
    assert traced.collector.names == []


def test_a_span_that_is_not_sampled_is_neither_exported_nor_counted():

    registry, collector = CollectorRegistry(), StalledCollector()
    collector.released.set()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(BoundedExport(collector, SpanMetrics(registry)))
    provider.get_tracer("t").start_span("span").end()
    provider.shutdown()
    assert collector.names == []
    for outcome in ("exported", "failed", "dropped"):
        assert registry.get_sample_value("telemetry_spans_total", {"outcome": outcome}) == 0
