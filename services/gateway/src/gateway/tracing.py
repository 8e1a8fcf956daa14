"""The span of a proxied request, which becomes the parent of the service's span.

Only a trusted proxy's trace context becomes the parent of this span. A client could use its own to
make us record every request, or none, so the span only links to a client's trace.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.metrics import route_template
from chassis.telemetry.logging import without_secrets
from chassis.telemetry.tracing import context_from, current_trace_headers, span_from
from gateway.addresses import Addresses
from gateway.opaque import text_of
from gateway.routes import Route

ROUTE = "gateway.route"
"""The scope's key for the request's route; its value is None if no route matches."""

_CONTEXT_FIELDS = frozenset({b"traceparent", b"tracestate"})
_SERVER_ERROR = 500


def route_label(scope: Scope) -> str:
    """Return the route's label in metrics: the route's prefix, or the gateway's own path."""
    route: Route | None = scope.get(ROUTE)
    return route_template(scope) if route is None else route.prefix


class Traces:
    """Opens spans.

    Args:
        tracer: starts the spans.
        addresses: recognises trusted proxies.
        trust_clients: whether every client's trace context is believed; for development.
    """

    def __init__(self, *, tracer: trace.Tracer, addresses: Addresses, trust_clients: bool) -> None:
        self._tracer = tracer
        self._addresses = addresses
        self._trust_clients = trust_clients

    @contextmanager
    def server_span(self, scope: Scope) -> Iterator[trace.Span]:
        """Open the span of a request as the current span."""
        route: Route | None = scope.get(ROUTE)
        place = "" if route is None else route.prefix
        method = scope.get("method", "GET")
        sent = {
            name.decode(): text_of(value)
            for name, value in scope["headers"]
            if name in _CONTEXT_FIELDS
        }
        parent = sent if sent and self._believes(scope) else {}
        name = f"{method} {place}".rstrip()
        with span_from(self._tracer, name, parent, kind=trace.SpanKind.SERVER) as span:
            if span.is_recording():
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", place)
                span.set_attribute("url.path", without_secrets(scope["path"]))
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

    def _believes(self, scope: Scope) -> bool:
        return self._trust_clients or self._addresses.trusts(scope)


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

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status: int = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= _SERVER_ERROR:
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, watched)
