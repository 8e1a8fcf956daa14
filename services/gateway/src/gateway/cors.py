"""Cross-origin calls from browsers, by an allow list (the Fetch standard, "CORS protocol").

Starlette's middleware answers a refused preflight with 400 as plain text; here it is answered
without the headers that would allow it, which is all that a browser asks.
"""

from collections.abc import Collection

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_FIELDS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    b"X-Request-ID, traceparent, tracestate"
)
_RESPONSE_FIELDS = (
    b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, "
    b"X-Request-ID"
)
_MAX_AGE_SECONDS = b"600"

type Fields = list[tuple[bytes, bytes]]


class Cors:
    """Gives the fields of answers to pages of other origins.

    Args:
        origins: that may call; ``*`` for any.
        credentials: whether they may send cookies.
    """

    def __init__(self, *, origins: Collection[str], credentials: bool) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = "*" in origins
        self._credentials = credentials

    def fields(self, origin: bytes | None) -> Fields:
        """Give the fields of an answer to a request from `origin`; None: it named none."""
        if not self._origins:
            return []
        # Caches must know that another origin gets another answer.
        vary = [] if self._any and not self._credentials else [(b"vary", b"Origin")]
        if origin is None or not self._allows(origin):
            return vary
        return [
            *self._allowed(origin),
            (b"access-control-expose-headers", _RESPONSE_FIELDS),
            *vary,
        ]

    def preflight(self, origin: bytes) -> Fields:
        """Give the fields of the answer to a preflight request."""
        vary = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        if not self._allows(origin):
            return [vary]
        return [
            *self._allowed(origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_FIELDS),
            (b"access-control-max-age", _MAX_AGE_SECONDS),
            vary,
        ]

    def _allows(self, origin: bytes) -> bool:
        return self._any or origin in self._origins

    def _allowed(self, origin: bytes) -> Fields:
        if self._any and not self._credentials:
            return [(b"access-control-allow-origin", b"*")]
        fields = [(b"access-control-allow-origin", origin)]
        if self._credentials:
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields
