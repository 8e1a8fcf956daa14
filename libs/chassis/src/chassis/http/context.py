"""The request id and the log line of each request; the outermost middleware."""

import re
import time
from collections.abc import Sequence
from urllib.parse import quote

import structlog
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database.ids import new_id_text
from chassis.http.metrics import HttpMetrics
from chassis.telemetry.logging import shown_ids
from chassis.telemetry.request_lines import RequestLines
from chassis.telemetry.tracing import recorded_trace_id
from chassis.wire_names import EVENT_STREAM, REQUEST_ID, raw_name

_RAW = raw_name(REQUEST_ID)
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_EVENT_STREAM = EVENT_STREAM.encode()
_KEY = "chassis.request_id"
_BEGINNINGS = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, or an empty text outside RequestContext."""
    return str(scope.get(_KEY, ""))


def accepted_id(raw: bytes | None) -> str:
    """Return the caller's ``X-Request-ID`` if it is harmless, else a new id."""
    if raw is None:
        return new_id_text()
    text = raw.decode("latin-1")
    return text if _ACCEPTED.fullmatch(text) else new_id_text()


def with_request_id(scope: Scope, request_id: str) -> Scope:
    """Return `scope` with the request's id, for servers without `RequestContext`."""
    return {**scope, _KEY: request_id}


def path_of(scope: Scope) -> str:
    """Return the path of the request, percent-encoded for a URL.

    The host is left out, because a client may send a malformed one. Characters that can't be
    encoded as UTF-8 are replaced.
    """
    return quote(scope["path"], safe="/:@!$&'()*+,;=~", errors="replace")


class RequestContext:
    """Gives each request an id, which every log line of the request and its response carry.

    It uses the caller's ``X-Request-ID`` if that is harmless, else a new id. It writes one log line
    when the request has ended.

    Args:
        app: the next layer.
        metrics: records each HTTP request. WebSockets are not recorded, and streams of events only
            up to their head: the duration of a connection is not that of a request.
        process: the process's name, for the log line; None writes it by structlog, which is dearer.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, process: str | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._lines = RequestLines(process)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        scope[_KEY] = request_id = accepted_id(
            next((value for name, value in scope["headers"] if name == _RAW), None)
        )
        status = 0
        head_at = 0.0
        fields: list[tuple[bytes, bytes]] = []

        async def send_with_id(message: Message) -> None:
            nonlocal status, fields, head_at
            if message["type"] in _BEGINNINGS:
                status = message.get("status", 101)
                fields = [field for field in message.get("headers", ()) if field[0] != _RAW]
                fields.append((_RAW, request_id.encode("latin-1")))
                message["headers"] = fields
                head_at = time.perf_counter()
            await send(message)

        is_request = scope["type"] == "http"
        if is_request:
            self._metrics.began()
        started = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = self._metrics.route_of(scope)
            if is_request:
                self._metrics.ended(
                    route,
                    scope["method"],
                    status=status,
                    seconds=head_at - started if _is_stream(fields) else seconds,
                    trace_id=recorded_trace_id(),
                )
            self._lines.write(
                request_id=request_id,
                method=scope.get("method", "WS"),
                route=route,
                path=scope["path"],
                status=status,
                seconds=seconds,
                user_id=structlog.contextvars.get_contextvars().get("user_id"),
                trace=shown_ids(trace.get_current_span()),
            )
            structlog.contextvars.reset_contextvars(**bound)
            structlog.contextvars.unbind_contextvars("user_id")


def _is_stream(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value == _EVENT_STREAM for name, value in fields)
