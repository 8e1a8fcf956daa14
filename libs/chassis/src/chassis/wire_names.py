"""Names of header fields and media types that more than one part uses."""

REQUEST_ID = "X-Request-ID"
REQUEST_TIMEOUT = "X-Request-Timeout-Ms"
REAL_IP = "X-Real-IP"
IDEMPOTENCY_KEY = "Idempotency-Key"

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
PROBLEM = "application/problem+json"  # RFC 9457
FORM = "application/x-www-form-urlencoded"
EVENT_STREAM = "text/event-stream"  # WHATWG HTML §9.2


def raw_name(name: str) -> bytes:
    """Return the name of a field in the form of ASGI and HTTP/2: bytes in lower case."""
    return name.lower().encode()
