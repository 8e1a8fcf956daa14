"""Traces: W3C context in, spans out over OTLP; off costs next to nothing."""

import contextlib
from collections.abc import Iterator, Mapping

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_propagator = TraceContextTextMapPropagator()


def configure_tracing(*, process: str, endpoint: str | None, sample: float) -> None:
    """Install the tracer of this process; call once, before the first span.

    Args:
        process: ``service.name`` of the spans.
        endpoint: where spans go (OTLP over HTTP, the base address); None exports nothing.
        sample: the share of root traces that are kept; a parent's decision is followed.
    """
    if endpoint is None:
        return
    provider = TracerProvider(
        resource=Resource.create({"service.name": process}),
        sampler=ParentBased(TraceIdRatioBased(sample)),
    )
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(provider)


def current_trace_headers() -> dict[str, str]:
    """Give ``traceparent`` and ``tracestate`` of the current span; empty where there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def current_traceparent() -> str | None:
    """Give the ``traceparent`` (W3C Trace Context) of the current span, to store with a row."""
    return current_trace_headers().get("traceparent")


def trace_headers_of(span: trace.Span) -> dict[str, str]:
    """Give ``traceparent`` and ``tracestate`` of `span`; empty where it is not recording."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    return carrier


def context_from(headers: Mapping[str, str]) -> Context:
    """Read the trace context that a row or a message carries."""
    return _propagator.extract(dict(headers))


@contextlib.contextmanager
def within_trace(traceparent: str | None) -> Iterator[None]:
    """Make what happens inside belong to the span that `traceparent` names; None: to no trace."""
    token = attach(context_from({} if traceparent is None else {"traceparent": traceparent}))
    try:
        yield
    finally:
        detach(token)


@contextlib.contextmanager
def span_from(
    tracer: trace.Tracer,
    name: str,
    headers: Mapping[str, str],
    *,
    kind: trace.SpanKind,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[trace.Span]:
    """Open a span that is the child of the context in `headers`, and make it the current one."""
    with tracer.start_as_current_span(
        name, context=context_from(headers), kind=kind, attributes=dict(attributes or {})
    ) as span:
        yield span
