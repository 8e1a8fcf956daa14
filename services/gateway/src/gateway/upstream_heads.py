"""The fields of the requests to services: those to pass on, and the gateway's own."""

from gateway.addresses import Origin
from gateway.exchange import FieldLines
from gateway.headers import RequestHead

_SCHEMES = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}


def authority_of(head: RequestHead, origin: Origin, scheme: str) -> bytes:
    """Return the scheme and hosts that the service is told, as one value to compare."""
    # A proxy may pass on a client's own `X-Forwarded-Host`, so neither host implies the other.
    host = head.host or b""
    believed = (head.forwarded or {}) if origin.trusted else {}
    first = believed.get(b"x-forwarded-host", host)
    return b"%b://%b\n%b" % (believed.get(b"x-forwarded-proto", _SCHEMES[scheme]), first, host)


def upstream_fields(
    head: RequestHead, *, origin: Origin, scheme: str, request_id: str
) -> FieldLines:
    """Return the fields of the request to the service.

    Without those of the trace, the deadline and the body's framing.
    """
    return [
        *head.fields,
        *origin_fields(head, origin=origin, scheme=scheme),
        (b"x-request-id", request_id.encode()),
    ]


def origin_fields(head: RequestHead, *, origin: Origin, scheme: str) -> FieldLines:
    """Return the fields that tell the service where the request came from, and for which host.

    Without a trusted proxy, they are the same for all requests of a connection for one host.
    """
    host = head.host or b""
    believed = (head.forwarded or {}) if origin.trusted else {}
    return [
        (b"host", host),
        (b"x-forwarded-for", origin.chain_bytes),
        (b"x-forwarded-host", believed.get(b"x-forwarded-host", host)),
        (b"x-forwarded-proto", believed.get(b"x-forwarded-proto", _SCHEMES[scheme])),
        (b"x-real-ip", origin.client_bytes),
    ]


def with_host_cookies(fields: FieldLines, head: RequestHead) -> FieldLines:
    """Return the fields of a request with all cookies that the client sent, in one line.

    A browser sends one line (RFC 6265 §5.4), and a service may read only the first.
    """
    if not head.cookies:
        return fields
    kept = [item for item in fields if item[0] != b"cookie"]
    return [*kept, (b"cookie", b"; ".join(head.cookies))]
