"""One request to a service and its response, as values.

The links of a route (cache, compression, representation) take these and return these. They know
neither the connection of the client nor that of the service.
"""

from dataclasses import dataclass, field
from typing import Protocol

from gateway.routes import Route

READS = frozenset({b"GET", b"HEAD"})
"""The methods whose response has a representation."""
SAFE_METHODS = READS | {b"OPTIONS"}
"""The methods that change nothing (RFC 9110 §9.2.1), of those that the gateway passes on."""

type FieldLines = list[tuple[bytes, bytes]]
"""Header fields as they were parsed: names in lower case, repeated ones as often as they came."""


def lines_of(fields: FieldLines) -> bytes:
    """Return fields as the lines of a head."""
    if not fields:
        return b""
    # A quarter faster than to format each line: 0.2 µs for eight.
    return b"\r\n".join([b": ".join(line) for line in fields]) + b"\r\n"


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """A request that the gateway accepted, before it goes to its service.

    Attributes:
        method: e.g. ``b"GET"``.
        target: path and query as the client sent them.
        route: its entry of the route table.
        fields: the client's fields. A link may replace them; what the service gets is made of them.
        authenticated: whether a caller was identified.
        authority: the scheme and hosts that the service is told; they may be part of its response.
        has_body: whether a body follows, which links don't see.
    """

    method: bytes
    target: bytes
    route: Route
    fields: FieldLines = field(default_factory=list)
    authenticated: bool = False
    authority: bytes = b""
    has_body: bool = False


class Forms(Protocol):
    """The other forms of one body, by the marks of their tags. They are made once for all clients.

    A form belongs to the body that it was made of.
    """

    def form(self, marks: bytes) -> bytes | None:
        """Return a form, or None if it was not made yet."""

    def keep_form(self, marks: bytes, body: bytes) -> None:
        """Keep a form."""


@dataclass(slots=True, kw_only=True)
class UpstreamAnswer:
    """A whole response of a service.

    Attributes:
        status: the status code.
        fields: its fields, without those of the connection (RFC 9110 §7.6.1).
        body: the whole body.
        forms: the other forms of the body, if it is that of a copy in the cache.
    """

    status: int
    fields: FieldLines = field(default_factory=list)
    body: bytes = b""
    forms: Forms | None = None
