"""Allow cross-origin requests of browsers by an allow list (the Fetch standard, "CORS protocol").

Starlette's middleware responds to a rejected preflight with 400 and plain text. The gateway leaves
out the headers that would allow the request, which is enough for a browser to block it.
"""

from collections.abc import Collection

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_FIELDS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    b"X-Request-ID, traceparent, tracestate"
)
_RESPONSE_FIELDS = (
    b"Deprecation, ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, Sunset, "
    b"WWW-Authenticate, X-Request-ID"
)
_MAX_AGE_SECONDS = b"600"

type Fields = list[tuple[bytes, bytes]]


class Cors:
    """Makes the CORS header fields of responses.

    Args:
        origins: the origins whose pages may call the API; ``*`` for any.
        credentials: whether those pages may send cookies.
    """

    def __init__(self, *, origins: Collection[str], credentials: bool) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = "*" in origins
        self._credentials = credentials

    def fields(self, origin: bytes | None) -> Fields:
        """Return the fields of a response to a request from `origin` (None: no `Origin` field)."""
        if not self._origins:
            return []
        expose = (b"access-control-expose-headers", _RESPONSE_FIELDS)
        if self._any and not self._credentials:
            # Caches need the same fields for every request, with or without `Origin`.
            return [(b"access-control-allow-origin", b"*"), expose]
        vary = (b"vary", b"Origin")  # caches must know that the response depends on the origin
        if origin is None or not self._allows(origin):
            return [vary]
        fields = [(b"access-control-allow-origin", origin), expose, vary]
        if self._credentials:
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields

    def preflight(self, origin: bytes) -> Fields:
        """Return the fields that a preflight response has in addition to those of `fields`."""
        vary = (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")
        if not self._allows(origin):
            return [vary]
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_FIELDS),
            (b"access-control-max-age", _MAX_AGE_SECONDS),
            vary,
        ]

    def _allows(self, origin: bytes) -> bool:
        return self._any or origin in self._origins
