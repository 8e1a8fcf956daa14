"""The head of a request, read once: what is refused, what is passed on, what the gateway sets.

Hop-by-hop fields (RFC 9110 §7.6.1) end here in both directions, and so do fields that only somebody
inside may set.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import Scope

from chassis.errors import Malformed
from gateway.addresses import Origin
from gateway.errors import Refused, Suspicious

MAX_TARGET_BYTES = 32 * 1024
MAX_FIELDS_BYTES = 32 * 1024
TIMEOUT_HEADER = "X-Request-Timeout-Ms"

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What a service could take for the gateway's word, or for another request than was checked here.
_INSIDE_ONLY = frozenset(
    {
        b"forwarded",
        b"remote-user",
        b"x-authenticated-user",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-real-ip",
        b"x-remote-user",
        b"x-request-timeout-ms",
        b"x-rewrite-url",
        b"x-roles",
        b"x-scopes",
        b"x-session-id",
        b"x-user",
    }
)
_INSIDE_ONLY_PREFIXES = (b"x-user-", b"x-auth-", b"x-original-")
# Set anew below, or by the server and client on either side.
_REPLACED = frozenset(
    {b"host", b"expect", b"traceparent", b"tracestate", b"baggage", b"x-request-id"}
)
_UNIQUE = frozenset({b"host", b"authorization", b"content-length", b"content-type"})
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FIRST_FINAL_STATUS = 200
_LAST_STATUS = 599
_BODILESS = frozenset({204, 304})
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_PASSED_ON = _HOP_BY_HOP | _INSIDE_ONLY | _REPLACED
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"date", b"server", b"x-request-id", b"alt-svc"}


@dataclass(slots=True)
class RequestHead:
    """What the gateway needs of a request's head.

    Attributes:
        fields: those that are passed on.
        known: those that the gateway looks at, by name.
        connection: the fields named in ``Connection``.
        forwarded: ``X-Forwarded-*`` as sent, to be believed or not.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    known: dict[bytes, str] = field(default_factory=dict)
    connection: set[str] = field(default_factory=set)
    forwarded: dict[bytes, str] = field(default_factory=dict)

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return b"transfer-encoding" in self.known or self.known.get(b"content-length", "0") not in {
            "",
            "0",
        }

    @property
    def content_length(self) -> int | None:
        """The size that the body is said to have."""
        text = self.known.get(b"content-length")
        return None if text is None else int(text)

    @property
    def bearer(self) -> str | None:
        """The access token; empty where the scheme is another."""
        text = self.known.get(b"authorization")
        if text is None:
            return None
        scheme, _, token = text.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def read_head(scope: Scope) -> RequestHead:
    """Read a head.

    Raises:
        Suspicious: it could be read as another request than this one (RFC 9112 §11.2).
        Malformed: a value is no text.
        Refused: 431 where it is too large.
    """
    head = RequestHead()
    known = head.known
    size = 0
    for name, raw in scope["headers"]:
        size += len(name) + len(raw) + 4
        value = _text(name, raw)
        if name in _UNIQUE and name in known:
            message = f"the header {name.decode()} stands there more than once"
            raise Suspicious(message)
        if name in _UNIQUE or name in _REPLACED:
            known[name] = value
        if name in _NOT_PASSED_ON:
            _note(head, name, value)
        elif name.startswith(b"x-forwarded-"):
            earlier = head.forwarded.get(name)
            head.forwarded[name] = value if earlier is None else f"{earlier}, {value}"
        elif not name.startswith(_INSIDE_ONLY_PREFIXES) and b"_" not in name:
            head.fields.append((name.decode("latin-1"), value))
    if size > MAX_FIELDS_BYTES:
        detail = f"the headers may have {MAX_FIELDS_BYTES} bytes at most"
        raise Refused(431, detail, headers={"Connection": "close"})
    _check(scope, head)
    if head.connection:
        head.fields = [item for item in head.fields if item[0] not in head.connection]
    return head


def _text(name: bytes, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        message = f"the header {name.decode('latin-1')} is no UTF-8"
        raise Malformed(message) from error


def _note(head: RequestHead, name: bytes, value: str) -> None:
    if name == b"connection":
        head.connection.update(part.strip().lower() for part in value.split(","))
    elif name == b"transfer-encoding":
        if value.strip().lower() != "chunked" or name in head.known:
            message = "the only Transfer-Encoding that is taken is chunked, once"
            raise Suspicious(message)
        head.known[name] = value


def _check(scope: Scope, head: RequestHead) -> None:
    known = head.known
    if b"host" not in known and scope["http_version"] == "1.1":
        message = "a request of HTTP/1.1 has one Host header (RFC 9112 §3.2)"
        raise Suspicious(message)
    length = known.get(b"content-length")
    if length is None:
        return
    if b"transfer-encoding" in known:
        message = "send Content-Length or Transfer-Encoding, not both (RFC 9112 §6.3)"
        raise Suspicious(message)
    if not (length.isascii() and length.isdigit()):
        message = "the Content-Length must be a number"
        raise Suspicious(message)
    if "content-length" in head.connection:
        message = "Connection must not name Content-Length"
        raise Suspicious(message)


def upstream_fields(
    scope: Scope, head: RequestHead, *, origin: Origin, request_id: str, timeout: float
) -> list[tuple[str, str]]:
    """Give the fields of the request to the service, but for those of the trace."""
    host = head.known.get(b"host", "")
    scheme = _SCHEMES[scope["scheme"]]
    believed = head.forwarded if origin.trusted else {}
    proto = believed.get(b"x-forwarded-proto", scheme)
    forwarded_host = believed.get(b"x-forwarded-host", host)
    return [
        *head.fields,
        ("Host", host),
        ("X-Forwarded-For", origin.chain),
        ("X-Forwarded-Host", forwarded_host),
        ("X-Forwarded-Proto", proto),
        ("X-Request-ID", request_id),
        (TIMEOUT_HEADER, str(int(timeout * 1000))),
    ]


def response_fields(status: int, raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Give the fields of an answer that are passed back.

    Raises:
        Refused: 502 where the answer is none that may be passed back.
    """
    if not _FIRST_FINAL_STATUS <= status <= _LAST_STATUS:
        raise Refused(502, f"the service answered with status {status}, which is none")
    # With a length, a client would wait for the body that these never have.
    bodiless = status in _BODILESS
    fields: list[tuple[bytes, bytes]] = []
    connection: set[bytes] = set()
    for name, value in raw:
        lower = name.lower()
        if _UNFIT.search(value):
            raise Refused(502, "the service answered with a header that is none")
        if lower == b"connection":
            connection.update(part.strip().lower() for part in value.split(b","))
        elif lower not in _NOT_PASSED_BACK and not (bodiless and lower == b"content-length"):
            fields.append((lower, value))
    connection.discard(b"content-length")  # it ends the body, whatever a service says of it
    if connection:
        fields = [item for item in fields if item[0] not in connection]
    return fields
