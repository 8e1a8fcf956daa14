"""Limits on bodies: of a request, a maximum size and no Content-Encoding; of an export's part."""

from collections.abc import Awaitable

from starlette.exceptions import HTTPException  # noqa: TID251 - FastAPI lets nothing else through
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.problems import problem_of_status

MAX_BODY_BYTES = 1024 * 1024
MAX_EXPORT_BYTES = 8 * 1024 * 1024
"""The largest part of one service in the export of a person's data.

The gateway holds the parts of all services in memory at the same time.
"""
_TOO_LARGE = 413
_MAX_DIGITS = 20  # Python's int() raises for a text of more than 4,300 digits
_CLOSE = {"Connection": "close"}  # the rest of the body is not read


class BodyLimits:
    """Rejects a body over the limit, declared or counted, with 413, and an encoded one with 415."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._digits = len(str(max_bytes))
        self._detail = (
            f"The body is too large. This service accepts {max_bytes} bytes. Send a smaller body."
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection (ASGI); the next layer's awaitable costs no coroutine here."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        declared = _declared(scope, fewer_digits_than=self._digits)
        if declared is None:
            return self._app(scope, self._counted(receive), send)
        length, encoding = declared
        request = Request(scope)
        if encoding.lower() != "identity":
            detail = f"The Content-Encoding {encoding} is not accepted. Send the body without one."
            return problem_of_status(request, 415, detail)(scope, receive, send)
        if self._is_too_much(length):
            answer = problem_of_status(request, _TOO_LARGE, self._detail, _CLOSE)
            return answer(scope, receive, send)
        return self._app(scope, self._counted(receive), send)

    def _is_too_much(self, length: str) -> bool:
        if not (length.isascii() and length.isdigit()):
            return False  # not a number: the bytes received are counted
        digits = length.lstrip("0") or "0"
        return len(digits) > _MAX_DIGITS or int(digits) > self._max_bytes

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(_TOO_LARGE, self._detail, _CLOSE)
            return message

        return counted


def _declared(scope: Scope, *, fewer_digits_than: int) -> tuple[str, str] | None:
    """Return Content-Length and Content-Encoding; None if neither can be refused.

    Nearly all requests declare a short length and no encoding, and need no object of the framework
    to be read.
    """
    length, encoding = b"0", b"identity"
    for name, value in reversed(scope["headers"]):  # of several lines the first counts
        if name == b"content-length":
            length = value
        elif name == b"content-encoding":
            encoding = value
    if encoding == b"identity" and len(length) < fewer_digits_than:
        return None
    return length.decode("latin-1"), encoding.decode("latin-1")
