"""The span of a proxied request, which becomes the parent of the service's span.

Only a trusted proxy's trace context becomes the parent of this span. A client could use its own to
make us record every request, or none, so the span only links to a client's trace.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http.metrics import route_template
from chassis.http.tracing import record_status, recorded_response
from chassis.telemetry.logging import shown_ids, shown_path
from chassis.telemetry.tracing import (
    attached,
    context_from,
    current_trace_headers,
    sampled_root,
    span_from,
    trace_headers_of,
)
from gateway.addresses import Addresses, Origin
from gateway.exchange import FieldLines
from gateway.headers import RequestHead
from gateway.opaque import text_of
from gateway.routes import Route

ROUTE = "gateway.route"
"""The scope's key for the request's route; its value is None if no route matches."""

_CONTEXT_FIELDS = frozenset({b"traceparent", b"tracestate"})
_NOT_ZERO = 1 << 64 | 1  # a bit of each id: ids of zeros only are not valid


def _context_of(lines: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the fields that carry a trace context."""
    return {name.decode(): text_of(value) for name, value in lines if name in _CONTEXT_FIELDS}


def route_label(scope: Scope) -> str:
    """Return the route's label in metrics: the route's prefix, or the gateway's own path."""
    route: Route | None = scope.get(ROUTE)
    return route_template(scope) if route is None else route.prefix


class Traced(Protocol):
    """A request whose trace begins; see `gateway.path.request.ProxiedRequest`."""

    method: str
    path: str
    lines: FieldLines
    route: Route | None
    origin: Origin
    head: RequestHead | None

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the gateway was called."""


class Traces:
    """Opens spans.

    Args:
        tracer: starts the spans.
        addresses: recognises trusted proxies.
        trust_clients: whether every client's trace context is believed; for development.
        share: the share of the traces that begin here and are recorded.
        exported: whether spans are exported at all.
    """

    def __init__(
        self,
        *,
        tracer: trace.Tracer,
        addresses: Addresses,
        trust_clients: bool,
        share: float = 1.0,
        exported: bool = True,
    ) -> None:
        self._tracer = tracer
        self._addresses = addresses
        self._trust_clients = trust_clients
        self._share = share
        self._exported = exported

    def begin(self, request: Traced) -> "RequestTrace":
        """Begin the trace of a request, with a span only if it is recorded."""
        head = request.head
        sent: dict[str, str] = {}
        if head is None or head.traced:  # few requests have a trace
            sent = _context_of(request.lines)
        if sent and self.believes(request.origin):
            return self._recorded(request, context_from(sent), None)
        if not self._exported:
            return NO_TRACE
        if random.random() >= self._share:  # noqa: S311 - chooses a sample
            return RequestTrace.unrecorded()
        return self._recorded(request, sampled_root(), sent)

    def _recorded(
        self, request: Traced, context: Context, linked: Mapping[str, str] | None
    ) -> "RequestTrace":
        method = request.method
        place = "" if request.route is None else request.route.prefix
        span = self._tracer.start_span(
            f"{method} {place}".rstrip(),
            context,
            trace.SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "http.route": place,
                "url.scheme": request.scheme,
                "url.path": shown_path(request.path),
            },
        )
        if linked and span.is_recording():
            span.add_link(trace.get_current_span(context_from(linked)).get_span_context())
        return RequestTrace.of(span)

    @contextmanager
    def server_span(self, scope: Scope) -> Iterator[trace.Span]:
        """Open the span of a request as the current span."""
        route: Route | None = scope.get(ROUTE)
        place = "" if route is None else route.prefix
        method = scope.get("method", "GET")
        sent = _context_of(scope["headers"])
        parent = sent if sent and self._believes(scope) else {}
        name = f"{method} {place}".rstrip()
        with span_from(self._tracer, name, parent, kind=trace.SpanKind.SERVER) as span:
            if span.is_recording():
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", place)
                span.set_attribute("url.scheme", scope.get("scheme", "http"))
                span.set_attribute("url.path", shown_path(scope["path"]))
                if sent and not parent:
                    span.add_link(trace.get_current_span(context_from(sent)).get_span_context())
            yield span

    def upstream_fields(self, scope: Scope, baggage: Sequence[str]) -> list[tuple[str, str]]:
        """Return the fields that carry the current trace to a service.

        Args:
            scope: the request's scope.
            baggage: the W3C Baggage as sent. It is passed on only if the sender is believed.
        """
        fields = list(current_trace_headers().items())
        if baggage and self._believes(scope):
            fields += [("baggage", value) for value in baggage]
        return fields

    def without_untrusted(self, scope: Scope) -> Scope:
        """Return the scope; without trace context and baggage unless the sender is believed."""
        if self._believes(scope):
            return scope
        refused = {*_CONTEXT_FIELDS, b"baggage"}
        kept = [field for field in scope["headers"] if field[0] not in refused]
        return {**scope, "headers": kept}

    def believes(self, origin: Origin) -> bool:
        """Return whether the trace and the baggage of a sender are believed."""
        return self._trust_clients or origin.trusted

    def _believes(self, scope: Scope) -> bool:
        return self._trust_clients or self._addresses.trusts(scope)


class RequestTrace:
    """The trace of one request.

    Args:
        lines: the fields that carry it to a service, as lines.
        ids: the ids of the trace and of the request's span; None without a trace.
        span: the recorded span, if any.
    """

    __slots__ = ("ids", "lines", "span")

    def __init__(
        self, lines: bytes, ids: tuple[str, str] | None, span: trace.Span | None = None
    ) -> None:
        self.lines = lines
        self.ids = ids
        self.span = span

    @classmethod
    def unrecorded(cls) -> "RequestTrace":
        """Return a new trace that nobody records."""
        digits = f"{random.getrandbits(192) | _NOT_ZERO:048x}"  # one call for both ids
        trace_id, span_id = digits[:32], digits[32:]
        return cls(f"traceparent: 00-{trace_id}-{span_id}-00\r\n".encode(), (trace_id, span_id))

    @classmethod
    def of(cls, span: trace.Span) -> "RequestTrace":
        """Return the trace of a span."""
        ids = shown_ids(span)
        if ids is None:
            return NO_TRACE
        lines = [f"{name}: {value}\r\n" for name, value in trace_headers_of(span).items()]
        return cls("".join(lines).encode(), ids, span)

    @property
    def recorded_id(self) -> str | None:
        """The id of the trace if the request's span is recorded."""
        if self.span is None or self.ids is None or not self.span.is_recording():
            return None
        return self.ids[0]

    def attached(self) -> attached:
        """Make this the current trace for log lines and further requests."""
        headers = dict(line.split(": ", 1) for line in self.lines.decode().splitlines())
        return attached(context_from(headers))

    def end(self, status: int, *, whole: bool) -> None:
        """End the span; the arguments are those of `record_status`."""
        span = self.span
        if span is None:
            return
        record_status(span, status, whole=whole)
        span.end()


NO_TRACE = RequestTrace(b"", None)


class ServerSpan:
    """Opens the span of each request before its log line is made, so that the line has its ids.

    OpenTelemetry's own ASGI middleware would cost more than the rest of the gateway's work.

    Args:
        app: the inner app.
        traces: opens the span.
    """

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        with self._traces.server_span(scope) as span:
            if not span.is_recording():
                await self._app(scope, receive, send)
                return
            await recorded_response(span, self._app, scope, receive, send)
