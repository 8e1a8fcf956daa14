"""The server span of a request, a child of the span that its sender names (W3C Trace Context).

OpenTelemetry's own ASGI middleware collects a request's attributes before the sampler decides, and
wraps each message. A request that is not sampled costs this one only a span's context.
"""

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.metrics import route_template
from chassis.telemetry.logging import shown_path
from chassis.telemetry.tracing import span_from

_CONTEXT_FIELDS = frozenset({b"traceparent", b"tracestate"})
_SERVER_ERROR = 500
_NOT_WHOLE = "incomplete_response"

NO_NATIVE_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""Turns FastAPI's own telemetry off, which would add a second server span to each request."""

tracer = trace.get_tracer(__name__)


class ServerSpan:
    """Opens the span of each request and each WebSocket.

    It trusts the sender's trace context: behind the gateway, that is the gateway's own.

    Args:
        app: the next layer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "GET")  # a handshake is a GET
        sent = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CONTEXT_FIELDS
        }
        with span_from(tracer, method, sent, kind=trace.SpanKind.SERVER) as span:
            if not span.is_recording():
                await self._app(scope, receive, send)
                return
            await self._recorded(span, method, scope, receive, send)

    async def _recorded(
        self, span: trace.Span, method: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        span.set_attribute("http.request.method", method)
        span.set_attribute("url.scheme", scope.get("scheme", "http"))
        span.set_attribute("url.path", shown_path(scope["path"]))
        try:
            await recorded_response(span, self._app, scope, receive, send)
        finally:
            template = route_template(scope)  # the router has found it by now
            span.update_name(f"{method} {template}")
            span.set_attribute("http.route", template)


async def recorded_response(
    span: trace.Span, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a request with `app`, and record in its span how its response ended."""
    status = 0

    async def watched(message: Message) -> None:
        nonlocal status
        if message["type"].endswith("response.start"):
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, watched)
    finally:
        if status or scope["type"] == "http":  # an accepted WebSocket has no response
            record_status(span, status)


def record_status(span: trace.Span, status: int, *, whole: bool = True) -> None:
    """Record how the response to a request ended, by OpenTelemetry's conventions for HTTP spans.

    Args:
        span: the request's span.
        status: the status that was sent; 0 if there was no response, since the client has gone.
        whole: whether all of the response was sent.
    """
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR:
        error = str(status)
    elif not (status and whole):
        error = _NOT_WHOLE
    else:
        return
    span.set_attribute("error.type", error)
    span.set_status(trace.StatusCode.ERROR)
