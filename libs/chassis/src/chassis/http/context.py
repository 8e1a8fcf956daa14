"""The request id and the log line of each request; the outermost middleware."""

import re
import time
from urllib.parse import quote

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database.models import new_id

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KEY = "chassis.request_id"

log = structlog.get_logger("chassis.http.access")


def request_id_of(scope: Scope) -> str:
    """Give the id of the request."""
    return str(scope.get(_KEY, ""))


def path_of(scope: Scope) -> str:
    """Give the path as it stands in a URL; the host, which a client may garble, has no part in it.

    What can't be UTF-8 is replaced.
    """
    return quote(scope["path"], safe="/:@!$&'()*+,;=~", errors="replace")


class RequestContext:
    """Takes the caller's ``X-Request-ID`` where it is harmless, or makes one, and answers it.

    The id stands on every log line of the request. One line is logged when the answer is complete.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        scope[_KEY] = request_id = _accepted(scope) or str(new_id())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept"}:
                status = message.get("status", 101)
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                log.info(
                    "request",
                    method=scope.get("method", "WS"),
                    path=scope["path"],
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                )


def _accepted(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _ACCEPTED.fullmatch(text) else None
    return None
