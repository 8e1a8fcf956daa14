"""Traces: W3C context in, spans out over OTLP; off costs next to nothing."""

import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType

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


class span_from:  # noqa: N801 - a context manager, used like a function
    """Open a span that is the child of the context in `headers`, and make it the current one.

    By hand: the library's own context managers cost more than the span.

    Args:
        tracer: makes it.
        name: of the span.
        headers: with ``traceparent`` and ``tracestate``, or neither: then it begins a trace.
        kind: of the span.
        attributes: of the span.
    """

    __slots__ = ("_span", "_token")

    def __init__(
        self,
        tracer: trace.Tracer,
        name: str,
        headers: Mapping[str, str],
        *,
        kind: trace.SpanKind,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        context = context_from(headers) if "traceparent" in headers else Context()
        self._span = tracer.start_span(name, context, kind, attributes)

    def __enter__(self) -> trace.Span:
        self._token = attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        detach(self._token)
        if isinstance(error, Exception):
            self._span.record_exception(error)
            self._span.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self._span.end()
