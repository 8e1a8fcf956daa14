"""A span that is made when its work has ended is exported as the SDK's would be."""

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue

from chassis.telemetry.ended_spans import FAILED, record_child, recorded_span
from chassis.telemetry.resource import resource_of
from chassis.telemetry.tracing import context_from

ATTRIBUTES: dict[str, AttributeValue] = {"db.query.text": "SELECT 1", "number": 7}
# A caller's trace with a state, as its vendor may add one.
PARENT = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
}


@pytest.fixture
def exported():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exported):
    provider = TracerProvider(resource=resource_of("orders", port=9000))
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider.get_tracer("the.module")


def encoded(span):
    """Return a span as the collector gets it, without its own id."""
    request = encode_spans([span])
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    (one,) = scope.spans
    assert len(one.span_id) == 8
    assert any(one.span_id)
    one.span_id = b""
    return request


@pytest.mark.parametrize("parent", [{}, PARENT], ids=["root", "remote"])
@pytest.mark.parametrize("failed", [False, True])
def test_it_is_exported_as_the_sdks(tracer, exported, parent, failed):
    kind = trace.SpanKind.CLIENT
    with tracer.start_as_current_span("request", context_from(parent)):
        theirs = tracer.start_span("SELECT", kind=kind, attributes=ATTRIBUTES, start_time=1)
        if failed:
            theirs.set_status(trace.StatusCode.ERROR)
        theirs.end(2)
        parent_span = recorded_span()
        assert parent_span is not None
        context = record_child(
            parent_span,
            "SELECT",
            scope=InstrumentationScope("the.module"),
            kind=kind,
            began=1,
            ended=2,
            attributes=ATTRIBUTES,
            status=FAILED if failed else trace.Status(),
        )
    expected, ours, _ = exported.get_finished_spans()
    assert ours.context == context
    assert ours.context.span_id != expected.context.span_id
    assert encoded(ours) == encoded(expected)


def test_outside_a_recorded_span_there_is_no_parent():
    assert recorded_span() is None
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("t")
    with unsampled.start_as_current_span("request"):
        assert recorded_span() is None


def test_the_resource_of_a_process_equals_the_sdks():
    ours = resource_of("orders", port=9000)
    theirs = Resource(ours.attributes, ours.schema_url)
    assert ours == theirs
    assert hash(ours) == hash(theirs)
