"""One case of the raw corpus: the bytes that a client and a service send, and what must come."""

from dataclasses import dataclass

READ = "/api/v1/notifications/unsubscribe"  # no link holds its responses: they stream through
LIST = "/api/v1/products"  # its responses are held until they are whole, for the links
CHANGE = "/api/v1/auth/token"
CLOSED = False
KEPT = True


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the service sends for one request.

    Attributes:
        data: the bytes.
        ends: whether the service then closes the connection.
        early: whether they are sent as soon as the request's head is there.
    """

    data: bytes
    ends: bool = False
    early: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row of a table.

    Attributes:
        name: what is special.
        send: what the client sends, in one write or byte by byte.
        got: the responses, as ``200`` or ``200 body``; ``200 cut`` began and was not completed.
        kept: whether the connection takes another request after them.
        seen: the whole requests that the service received, as ``GET /path`` or ``POST /path body``.
        late: what the client sends after the first response.
        heads: the numbers of the requests that are HEAD, which h11 must know.
        replies: what the service sends for its requests, one after the other; then `ok`.
        apart: whether each request came on a connection of its own.
        absent: a field that no response may have.
        at_once: whether it is sent in one write only. A client that goes on to send after the
            connection's end gets a reset, and may lose the responses.
    """

    name: str
    send: bytes
    got: tuple[str, ...]
    kept: bool
    seen: tuple[str, ...] = ()
    late: bytes = b""
    heads: tuple[int, ...] = ()
    replies: tuple[Reply, ...] = ()
    apart: bool = False
    absent: bytes = b""
    at_once: bool = False

    @property
    def bytes_on_the_wire(self) -> tuple[object, ...]:
        """What makes it another case than the others."""
        return self.send, self.late, self.replies


def request(
    method: str, path: str, *lines: str, body: bytes = b"", version: str = "1.1", host: str = "x"
) -> bytes:
    """Return the bytes of a request."""
    every = [
        f"{method} {path} HTTP/{version}",
        *([f"Host: {host}"] if host else []),
        *lines,
        "",
        "",
    ]
    return "\r\n".join(every).encode("latin-1") + body


def get(*lines: str, path: str = READ, version: str = "1.1", host: str = "x") -> bytes:
    """Return the bytes of a GET."""
    return request("GET", path, *lines, version=version, host=host)


def post(*lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """Return the bytes of a POST, whose lines declare the body."""
    return request("POST", CHANGE, *lines, body=body, version=version)


def refused(name: str, send: bytes, status: int = 400) -> Case:
    """Return the case of a request that no service sees, and that ends its connection."""
    return Case(name=name, send=send, got=(str(status),), kept=CLOSED)


def passed(name: str, send: bytes, seen: str, *, kept: bool = KEPT) -> Case:
    """Return the case of a request that passes."""
    return Case(name=name, send=send, got=("200 ok",), kept=kept, seen=(seen,))
