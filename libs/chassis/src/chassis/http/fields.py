"""Field values with bytes outside ASCII, which a client may send in any field (RFC 9110 §5.5)."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send


class ReadableFields:
    """Makes each field value valid UTF-8; a value that is not is read as Latin-1.

    OpenTelemetry's middleware decodes other values with Python's escape sequences. A backslash in a
    User-Agent then fails the request with 500, or a lone surrogate loses all spans of its batch.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection (ASGI); the next layer's awaitable costs no coroutine here."""
        fields = scope.get("headers", ())
        if not b"".join([value for _, value in fields]).isascii():
            scope = {**scope, "headers": [(name, _readable(value)) for name, value in fields]}
        return self._app(scope, receive, send)


def _readable(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value
