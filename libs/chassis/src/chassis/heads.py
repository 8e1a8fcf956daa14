"""The head of a request: what its fields say, and the responses to heads that are rejected."""

from itertools import chain

from chassis.raw_problems import Fields

type Refusal = tuple[int, str, Fields]
"""Status, detail and additional fields of the response to a head that is rejected."""

WEBSOCKET_VERSION = b"13"

MAX_TARGET_BYTES = 32 * 1024
MAX_FIELDS_BYTES = 32 * 1024
# The WebSocket library parses the head again, and sends no response if it exceeds its limits: 128
# fields, and lines of 8 KiB with their CR and LF.
LIBRARY_FIELDS = 128
LIBRARY_LINE_BYTES = 8192
# The gateway adds to a head: X-Forwarded-*, the request's id, the deadline, the trace. Its
# X-Forwarded-Host repeats the Host, which may be long.
GATEWAYS_FIELDS = 24
GATEWAYS_BYTES = MAX_FIELDS_BYTES + 8 * 1024

UNREADABLE: Refusal = (
    400,
    "The request is not valid HTTP/1.1. Send it as RFC 9112 requires.",
    [],
)
CONNECT: Refusal = (
    400,
    "The method CONNECT is not accepted, because this server is not a proxy. Use another method.",
    [],
)
TRANSFER_ENCODING: Refusal = (
    400,
    "HTTP/1.0 has no Transfer-Encoding (RFC 9112 §6.1). Send a Content-Length.",
    [],
)
VERSION: Refusal = (
    505,
    "The version of HTTP is not supported. Send the request with HTTP/1.1.",
    [],
)
EXPECTATION: Refusal = (
    417,
    "The header Expect has an unknown expectation. Send 100-continue, or no Expect.",
    [],
)
WEBSOCKET_METHOD: Refusal = (
    400,
    "A handshake must have the method GET (RFC 6455 §4.1). Send it with GET.",
    [],
)
WEBSOCKET_BODY: Refusal = (400, "A handshake has no body. Send it without one.", [])
WEBSOCKET_VERSION_UNKNOWN: Refusal = (
    426,
    "The WebSocket version is not accepted. Use version 13 (RFC 6455 §4.4).",
    [(b"upgrade", b"websocket"), (b"sec-websocket-version", WEBSOCKET_VERSION)],
)


def too_many_connections(limit: int) -> Refusal:
    """Return the response to a connection beyond the limit of the listener."""
    return (
        503,
        f"The server has {limit} connections and accepts no more. Try again in a moment.",
        [],
    )


def url_too_long(limit: int) -> Refusal:
    """Return the response to a URL of more than `limit` bytes."""
    return 414, f"The URL is too long. The server accepts {limit} bytes. Send a shorter one.", []


def fields_too_large(limit: int) -> Refusal:
    """Return the response to a head whose fields have more than `limit` bytes together."""
    text = f"The headers are too large. The server accepts {limit} bytes in all. Send fewer."
    return 431, text, []


def handshake_too_large(*, fields: int, line: int) -> Refusal:
    """Return the response to a handshake with too many fields, or with one that is too long."""
    text = (
        f"The handshake is too large. The server accepts {fields} headers of {line} bytes each. "
        "Send fewer or shorter ones."
    )
    return 431, text, []


def members_of(fields: Fields, name: bytes) -> set[bytes]:
    """Return the members of a field that is a list, in lower case (RFC 9110 §5.6.1)."""
    values = [value.lower().split(b",") for known, value in fields if known == name]
    return {part.strip() for part in chain.from_iterable(values)} - {b""}


def has_body(known: dict[bytes, bytes]) -> bool:
    """Return whether a body follows a head with these fields."""
    length = known.get(b"content-length", b"").strip()
    return b"transfer-encoding" in known or bool(length.strip(b"0"))


def waits_for_continue(fields: Fields, known: dict[bytes, bytes], version: str) -> bool | None:
    """Return whether the client waits for `100 Continue`; None if it expects something else.

    Without a body and in HTTP/1.0 the expectation is ignored (RFC 9110 §10.1.1).

    Args:
        fields: all fields.
        known: the fields; of repeated ones the last.
        version: the version of HTTP.
    """
    expected = members_of(fields, b"expect")
    if expected - {b"100-continue"}:
        return None
    return bool(expected) and has_body(known) and version == "1.1"


def handshake_refusal(
    method: bytes,
    url: bytes,
    fields: Fields,
    known: dict[bytes, bytes],
    *,
    max_fields: int,
    max_line: int,
) -> Refusal | None:
    """Return why a WebSocket handshake is rejected, or None if it is not.

    Args:
        method: the method.
        url: the URL.
        fields: all fields.
        known: the fields; of repeated ones the last.
        max_fields: the limit for the number of fields.
        max_line: the limit for one line, in bytes.
    """
    version = known.get(b"sec-websocket-version", WEBSOCKET_VERSION).strip()
    longest = max((len(name) + len(value) for name, value in fields), default=0)
    checks = (
        (method != b"GET", WEBSOCKET_METHOD),
        (has_body(known), WEBSOCKET_BODY),
        (version != WEBSOCKET_VERSION, WEBSOCKET_VERSION_UNKNOWN),
        (len(url) > max_line, url_too_long(max_line)),
        (
            longest > max_line or len(fields) > max_fields,
            handshake_too_large(fields=max_fields, line=max_line),
        ),
    )
    return next((refusal for failed, refusal in checks if failed), None)
