"""The span of a proxied request: the service gets it as the parent of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.telemetry.tracing import span_from
from gateway.routes import Route

ROUTE = "gateway.route"
"""Where in the scope the request's route stands; None where the path was refused before."""

_TRACE_FIELDS = frozenset({b"traceparent", b"tracestate"})
_SERVER_ERROR = 500

tracer = trace.get_tracer(__name__)


@contextmanager
def server_span(scope: Scope) -> Iterator[trace.Span]:
    """Open the span of a request, as the child of the caller's, and make it the current one."""
    route: Route | None = scope.get(ROUTE)
    place = "" if route is None else route.prefix
    method = scope.get("method", "GET")
    carrier = {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _TRACE_FIELDS
    }
    name = f"{method} {place}".rstrip()
    with span_from(tracer, name, carrier, kind=trace.SpanKind.SERVER) as span:
        if span.is_recording():
            span.set_attribute("http.request.method", method)
            span.set_attribute("http.route", place)
            span.set_attribute("url.path", scope["path"])
        yield span


class ServerSpan:
    """Opens the span of each request, outside the log line, so that the line carries its ids.

    OpenTelemetry's own ASGI middleware would cost more than the rest of the way through here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        with server_span(scope) as span:
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
