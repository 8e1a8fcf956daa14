"""Canary: a span of OpenTelemetry's SDK knows what takes it when it has ended."""

from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.library_internals.opentelemetry import processor_of
from testkit.library_internals import PrivateName

WHERE = PrivateName(
    library="opentelemetry-sdk",
    owner="a span",
    name="_span_processor",
    used_by="chassis.library_internals.opentelemetry",
)


def test_a_span_has_the_processor_of_its_provider():
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    span = provider.get_tracer("t").start_span("one")
    assert isinstance(span, Span)
    assert hasattr(span, WHERE.name), WHERE.look_at("is gone")
    processor_of(span).on_end(span)
    (one,) = exported.get_finished_spans()
    assert one is span, WHERE.look_at("does not export")
