"""The head of a request: what its fields say, and the responses to heads that are rejected."""

from itertools import chain

from chassis.raw_problems import Fields

type Refusal = tuple[int, str, Fields]
"""Status, detail and additional fields of the response to a head that is rejected."""

WEBSOCKET_VERSION = b"13"

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
