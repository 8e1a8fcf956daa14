"""Traces: W3C context in, spans out over OTLP; almost free of cost if no endpoint is set."""

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue
from prometheus_client import CollectorRegistry

from chassis.error_text import describe
from chassis.telemetry.exporting import BoundedExport, SpanMetrics
from chassis.telemetry.logging import without_secrets

_propagator = TraceContextTextMapPropagator()
# The last digit of a traceparent whose trace is sampled: bit 0 of its flags (W3C Trace Context
# §3.2.2.5.1). Bit 1 may be set, too.
_SAMPLED = frozenset("13579bdf")
# Version 00, which everybody writes (§3.2.2). Ids of zeros only are left to the propagator.
_TRACEPARENT = re.compile(
    r"00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})", re.ASCII
)


_EXPORT_SECONDS = 2.0


def configure_tracing(
    *, resource: Resource, endpoint: str | None, sample: float, registry: CollectorRegistry
) -> None:
    """Install the tracer of this process; call once, before the first span.

    Args:
        resource: says which process makes the spans.
        endpoint: the base address of the OTLP/HTTP receiver; None exports nothing.
        sample: the fraction of root traces that are sampled. A parent's decision is followed.
        registry: the metrics registry of the process; it counts the spans.
    """
    metrics = SpanMetrics(registry)
    if endpoint is None:
        return
    provider = TracerProvider(resource=resource, sampler=ParentBased(_Roots(sample)))
    exporter = OTLPSpanExporter(
        endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_EXPORT_SECONDS
    )
    provider.add_span_processor(BoundedExport(exporter, metrics))
    trace.set_tracer_provider(provider)


_SAMPLED_ROOT = create_key("sampled-root")
_SAMPLED_ROOT_CONTEXT = set_value(_SAMPLED_ROOT, True, Context())  # noqa: FBT003 - the library's signature


def sampled_root() -> Context:
    """Return the context of a root span that is recorded, because its caller chose it.

    A caller that serves thousands of requests a second decides by itself which of them it samples:
    the library's spans that are not recorded cost as much as the rest of such a request.
    """
    return _SAMPLED_ROOT_CONTEXT


class _Roots(Sampler):
    """Samples a share of the root spans, and those of `sampled_root`."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision for a root span."""
        if parent_context is not None and get_value(_SAMPLED_ROOT, parent_context):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._share.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Return the name of the sampler."""
        return f"Roots{{{self._share.get_description()}}}"


def current_trace_headers() -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of the current span; empty if there is none."""
    return trace_headers_of(trace.get_current_span())


def recorded_trace_id() -> str | None:
    """Return the id of the current trace if its span is recorded."""
    span = trace.get_current_span()
    if not span.is_recording():
        return None
    return trace.format_trace_id(span.get_span_context().trace_id)


def current_traceparent() -> str | None:
    """Return the ``traceparent`` (W3C Trace Context) of the current span, to store with a row."""
    return current_trace_headers().get("traceparent")


def trace_headers_of(span: trace.Span) -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of `span`; empty if its context is not valid."""
    return trace_headers(span.get_span_context())


def trace_headers(context: trace.SpanContext) -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of a span; empty if its context is not valid."""
    if context.is_valid and not context.trace_state:
        # As the propagator writes it, in less than half of the time.
        ids = f"{context.trace_id:032x}-{context.span_id:016x}"
        return {"traceparent": f"00-{ids}-{context.trace_flags:02x}"}
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(context)))
    return carrier


def context_from(headers: Mapping[str, str]) -> Context:
    """Return the trace context that a row or a message carries.

    Nearly all carry a ``traceparent`` of version 00 alone. Read without the propagator it costs a
    third, which counts with each message.
    """
    if "tracestate" in headers or not (
        plain := _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    ):
        return _propagator.extract(dict(headers))
    trace_id, span_id, flags = plain.groups()
    parent = trace.SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(flags, 16)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def is_sampled(headers: Mapping[str, str]) -> bool:
    """Return whether `headers` carry a trace that is sampled; spans of others are not recorded."""
    return headers.get("traceparent", "")[-1:] in _SAMPLED


class attached:  # noqa: N801 - a context manager, used like a function
    """Make `context` the current one, without a span."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


def within_trace(traceparent: str | None) -> attached:
    """Run the body in the context of the span that `traceparent` names; None means no trace."""
    return attached(context_from({} if traceparent is None else {"traceparent": traceparent}))


@contextlib.contextmanager
def span_if_recording(tracer: trace.Tracer, name: str, *, wanted: bool = True) -> Iterator[None]:
    """Open a child of the current span, but only if that one is recorded.

    Args:
        tracer: makes the span.
        name: the span's name.
        wanted: False opens none.
    """
    if not (wanted and trace.get_current_span().is_recording()):
        yield
        return
    with open_span(tracer, name):
        yield


@contextlib.contextmanager
def open_span(
    tracer: trace.Tracer,
    name: str,
    **options: Any,  # noqa: ANN401 - the library's own options, of many types
) -> Iterator[trace.Span]:
    """Open a span, and record its error without secrets, which the library's own span would show.

    A cancellation is an error, too: what the span is of was not completed.

    Args:
        tracer: makes the span.
        name: the span's name.
        options: those of ``Tracer.start_as_current_span``.
    """
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    ) as span:
        try:
            yield span
        except BaseException as error:
            record_error(span, error)
            raise


class span_from:  # noqa: N801 - a context manager, used like a function
    """Open a span as a child of `parent`, and make it the current one; errors as `open_span`.

    It is a class because the library's own context managers cost more than the span.

    Args:
        tracer: makes the span.
        name: the span's name.
        parent: headers with ``traceparent`` and ``tracestate``, or the context read from them.
            Without a trace in it, the span begins one.
        kind: the span's kind.
        attributes: the span's attributes.
        links: other spans that caused this one.
    """

    __slots__ = ("_span", "_token")

    def __init__(
        self,
        tracer: trace.Tracer,
        name: str,
        parent: Mapping[str, str] | Context,
        *,
        kind: trace.SpanKind,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[trace.Link] = (),
    ) -> None:
        if not isinstance(parent, Context):
            parent = context_from(parent) if "traceparent" in parent else Context()
        self._span = tracer.start_span(name, parent, kind, attributes, links)

    def __enter__(self) -> trace.Span:
        self._token = attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        detach(self._token)
        if error is not None:
            record_error(self._span, error)
        self._span.end()


def record_error(span: trace.Span, error: BaseException) -> None:
    """Record the error that ended the work of `span`, without secrets; costs nothing if unrecorded.

    OpenTelemetry's conventions ("Recording errors", and the status of an HTTP span) take each
    exception that ends an operation as its error, also a cancellation: its client has gone, or the
    process stops.
    """
    if not span.is_recording():
        return
    span.set_attribute("error.type", type(error).__name__)
    shown = {
        "exception.message": without_secrets(str(error)),
        "exception.stacktrace": without_secrets("".join(traceback.format_exception(error))),
    }
    span.record_exception(error, shown)
    span.set_status(trace.StatusCode.ERROR, without_secrets(describe(error)))
