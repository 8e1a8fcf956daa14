"""Read a request's head once: reject invalid fields, pass fields on, set the gateway's own.

Hop-by-hop fields (RFC 9110 §7.6.1) are removed in both directions. Fields that only the gateway may
set are removed from requests.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import Scope

from chassis.errors import Malformed
from chassis.wire_names import REAL_IP, REQUEST_ID, REQUEST_TIMEOUT, raw_name
from gateway.addresses import Origin
from gateway.errors import Refused, Suspicious
from gateway.opaque import is_text, text_of

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
# Fields that only the gateway may set, and fields that override the method or URL: with those, a
# service could execute another request than the gateway checked.
_INSIDE_ONLY = frozenset(
    {
        b"forwarded",
        b"remote-user",
        b"x-authenticated-user",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        raw_name(REAL_IP),
        b"x-remote-user",
        raw_name(REQUEST_TIMEOUT),
        b"x-rewrite-url",
        b"x-roles",
        b"x-scopes",
        b"x-session-id",
        b"x-user",
    }
)
_INSIDE_ONLY_PREFIXES = (b"x-user-", b"x-auth-", b"x-original-")
# The gateway sets these itself (below or in `tracing`), or its HTTP server and client handle them.
_REPLACED = frozenset(
    {b"host", b"expect", b"traceparent", b"tracestate", b"baggage", raw_name(REQUEST_ID)}
)
_UNIQUE = frozenset({b"host", b"authorization", b"content-length", b"content-type"})
_AUTHORIZATION = "authorization"
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FIRST_FINAL_STATUS = 200
_LAST_STATUS = 599
_BODILESS = frozenset({204, 304})
_METHOD_NOT_ALLOWED = 405
_DOUBT = (
    " The request may have taken effect. Check that before you send it again, or send it with the "
    "same Idempotency-Key."
)
_COOKIE = b"cookie"
_HOST_COOKIE = "__Host-"
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_PASSED_ON = _HOP_BY_HOP | _INSIDE_ONLY | _REPLACED
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"date", b"server", raw_name(REQUEST_ID), b"alt-svc"}


@dataclass(slots=True)
class RequestHead:
    """The parts of a request's head that the gateway needs.

    Attributes:
        fields: the fields to pass on.
        known: the fields that the gateway reads, by name.
        connection: the names of fields in ``Connection``.
        forwarded: ``X-Forwarded-*`` as sent. Only a trusted proxy's are believed.
        baggage: ``Baggage`` as sent. It is passed on only if the sender's traces are believed.
        cookies: the lines of ``Cookie`` as sent. `fields` has them without ``__Host-`` cookies.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    known: dict[bytes, str] = field(default_factory=dict)
    connection: set[str] = field(default_factory=set)
    forwarded: dict[bytes, str] = field(default_factory=dict)
    baggage: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return b"transfer-encoding" in self.known or self.known.get(b"content-length", "0") not in {
            "",
            "0",
        }

    @property
    def content_length(self) -> int | None:
        """The declared size of the body in bytes, or None."""
        text = self.known.get(b"content-length")
        return None if text is None else int(text)

    @property
    def bearer(self) -> str | None:
        """The access token; None without `Authorization`, empty if its scheme is not Bearer."""
        text = self.known.get(b"authorization")
        if text is None:
            return None
        scheme, _, token = text.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def replace_bearer(self, token: str | None) -> None:
        """Pass `token` on instead of the credential that was sent; None passes none on."""
        others = [item for item in self.fields if item[0] != _AUTHORIZATION]
        if token is not None and len(others) < len(self.fields):
            others.append((_AUTHORIZATION, f"Bearer {token}"))
        self.fields = others


def read_head(scope: Scope) -> RequestHead:
    """Return the parsed head.

    The HTTP protocol has already checked its size (`chassis.protocol`).

    Raises:
        Suspicious: a service could read the head as another request (RFC 9112 §11.2).
        Malformed: a value that the gateway reads is not UTF-8.
    """
    head = RequestHead()
    for name, raw in scope["headers"]:
        value = text_of(raw)
        if name in _UNIQUE:
            value = _take_unique(head, name, value)
        if name in _NOT_PASSED_ON:
            _note(head, name, value)
        elif name.startswith(b"x-forwarded-"):
            earlier = head.forwarded.get(name)
            head.forwarded[name] = value if earlier is None else f"{earlier}, {value}"
        elif name == _COOKIE:
            _take_cookies(head, value)
        elif not name.startswith(_INSIDE_ONLY_PREFIXES) and b"_" not in name:
            head.fields.append((name.decode("latin-1"), value))
    _check(scope, head)
    if head.connection:
        head.fields = [item for item in head.fields if item[0] not in head.connection]
    return head


def _take_unique(head: RequestHead, name: bytes, value: str) -> str:
    if name in head.known:
        message = f"The header {name.decode()} occurs more than once. Send it once."
        raise Suspicious(message)
    if name != b"content-type":  # only the service reads this one
        _check_text(name, value)
    head.known[name] = value = value.strip(" \t")
    return value


def _check_text(name: bytes, value: str) -> None:
    """Raise Malformed if a field that the gateway reads is not UTF-8. Other fields are opaque."""
    if not is_text(value):
        message = f"The header {name.decode()} is not UTF-8. Send its value in ASCII."
        raise Malformed(message)


def _note(head: RequestHead, name: bytes, value: str) -> None:
    if name == b"connection":
        _check_text(name, value)
        head.connection.update(part.strip().lower() for part in value.split(","))
    elif name == b"transfer-encoding":
        if value.strip().lower() != "chunked" or name in head.known:
            message = (
                f"The Transfer-Encoding {value.strip()!r} is not accepted. Send `chunked`, once, "
                "or a Content-Length."
            )
            raise Suspicious(message)
        head.known[name] = value
    elif name == b"baggage":
        head.baggage.append(value)


def _take_cookies(head: RequestHead, value: str) -> None:
    head.cookies.append(value)
    if _HOST_COOKIE in value:
        pairs = [pair.strip() for pair in value.split(";")]
        value = "; ".join(pair for pair in pairs if not pair.startswith(_HOST_COOKIE))
        if not value:
            return
    head.fields.append((_COOKIE.decode(), value))


def _check(scope: Scope, head: RequestHead) -> None:
    known = head.known
    if b"host" not in known and scope["http_version"] == "1.1":
        message = "The Host header is missing. A request of HTTP/1.1 must have one (RFC 9112 §3.2)."
        raise Suspicious(message)
    length = known.get(b"content-length")
    if length is None:
        return
    if b"transfer-encoding" in known:
        message = (
            "The request has both Content-Length and Transfer-Encoding. Send only one of them "
            "(RFC 9112 §6.3)."
        )
        raise Suspicious(message)
    if not (length.isascii() and length.isdigit()):
        message = (
            f"The Content-Length {length[:32]!r} is not a number. Send the length of the body in "
            "decimal digits."
        )
        raise Suspicious(message)
    if "content-length" in head.connection:
        message = (
            "The header Connection names Content-Length, which would remove it. Leave it out of "
            "Connection (RFC 9110 §7.6.1)."
        )
        raise Suspicious(message)


def upstream_fields(
    scope: Scope, head: RequestHead, *, origin: Origin, request_id: str
) -> list[tuple[str, str]]:
    """Return the fields of the request to the service, without those of the trace and deadline."""
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
        ("X-Real-IP", origin.client),
        (REQUEST_ID, request_id),
    ]


def with_host_cookies(fields: list[tuple[str, str]], head: RequestHead) -> list[tuple[str, str]]:
    """Return the fields of a request with all cookies that the client sent, in one line.

    A browser sends one line (RFC 6265 §5.4), and a service may read only the first.
    """
    if not head.cookies:
        return fields
    name = _COOKIE.decode()
    return [*(item for item in fields if item[0] != name), (name, "; ".join(head.cookies))]


def response_fields(status: int, raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a service's response to pass back.

    Raises:
        Refused: 502 if the status or a field of the response is not valid.
    """
    if not _FIRST_FINAL_STATUS <= status <= _LAST_STATUS:
        raise Refused(502, f"The service returned the status {status}, which is not valid.{_DOUBT}")
    # These responses have no body. A client would wait for one if they declared a length.
    bodiless = status in _BODILESS
    fields: list[tuple[bytes, bytes]] = []
    connection: set[bytes] = set()
    for name, value in raw:
        lower = name.lower()
        if _UNFIT.search(value):
            raise Refused(502, f"The service returned a header that is not valid.{_DOUBT}")
        if lower == b"connection":
            connection.update(part.strip().lower() for part in value.split(b","))
        elif lower not in _NOT_PASSED_BACK and not (bodiless and lower == b"content-length"):
            fields.append((lower, value))
    connection.discard(b"content-length")  # it delimits the body, so it must stay
    if connection:
        fields = [item for item in fields if item[0] not in connection]
    if status == _METHOD_NOT_ALLOWED:
        return [_with_options(item) for item in fields]
    return fields


def _with_options(item: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Add OPTIONS to a service's `Allow`: the gateway responds to it for every path."""
    name, value = item
    if name != b"allow" or b"OPTIONS" in value:
        return item
    return name, (value + b", OPTIONS" if value else b"OPTIONS")
