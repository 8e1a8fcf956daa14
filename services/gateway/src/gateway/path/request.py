"""A request that is proxied, as its client sent it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog
from starlette.types import Scope

from chassis.http.context import accepted_id, with_request_id
from chassis.wire_names import REQUEST_ID, raw_name
from gateway.addresses import Origin
from gateway.exchange import FieldLines
from gateway.headers import RequestHead
from gateway.routes import Route
from gateway.tracing import NO_TRACE, ROUTE, RequestTrace

if TYPE_CHECKING:
    from gateway.path.protocol import PathProtocol

RAW_ID = raw_name(REQUEST_ID)


class ProxiedRequest:
    """The head of a request, its id and its trace.

    Args:
        client: the connection that it came on; it has the fields as they were parsed.
        route: its entry of the route table; None if there is none.
        method: its method.
        raw_path: its path as sent.
        target: path and query as sent.
        version: its version of HTTP.

    Attributes:
        client: as above.
        lines: its fields as parsed.
        origin: where it came from.
        path: its path, decoded.
        route: as above.
        trace: its trace.
        head: what the gateway needs of its fields; None until they are read, or if they are bad.
        request_id: its id; empty until `identify`.
        user_id: the user who sent it, as text; None until that is known.
    """

    __slots__ = (
        "client",
        "head",
        "lines",
        "method",
        "origin",
        "path",
        "raw_method",
        "raw_path",
        "request_id",
        "route",
        "target",
        "trace",
        "user_id",
        "version",
    )

    def __init__(
        self,
        client: "PathProtocol",
        route: Route | None,
        method: bytes,
        raw_path: bytes,
        target: bytes,
        version: str,
    ) -> None:
        self.client = client
        self.route = route
        self.raw_method = method
        self.method = method.decode("latin-1")
        self.raw_path = raw_path
        path = raw_path.decode("latin-1")
        self.path = unquote(path) if "%" in path else path
        self.target = target
        self.lines: FieldLines = client.headers
        self.version = version
        self.origin: Origin = client.origin_of(self.lines)
        self.trace: RequestTrace = NO_TRACE
        self.head: RequestHead | None = None
        self.user_id: str | None = None
        self.request_id = ""

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the gateway was called."""
        return self.client.scheme or "http"

    def identify(self) -> None:
        """Take over the client's `X-Request-ID`, or make an id; also if the head was rejected."""
        if self.head is not None:
            self.request_id = accepted_id(self.head.request_id)
        else:
            sent = next((value for name, value in self.lines if name == RAW_ID), None)
            self.request_id = accepted_id(sent)

    @property
    def origin_field(self) -> bytes | None:
        """The field `Origin`, also of a request whose head was rejected."""
        if self.head is not None:
            return self.head.origin
        return next((value.strip() for name, value in self.lines if name == b"origin"), None)

    def scope(self) -> Scope:
        """Return the request as ASGI has it, for what serves ASGI as well."""
        scope: Scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.target.partition(b"?")[2],
            "headers": self.lines,
            "http_version": self.version,
            "scheme": self.client.scheme,
            "client": self.client.client,
            "server": self.client.server,
            "root_path": "",
            ROUTE: self.route,
        }
        return with_request_id(scope, self.request_id)

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Give log lines and spans the ids of this request."""
        with (
            structlog.contextvars.bound_contextvars(request_id=self.request_id),
            self.trace.attached(),
        ):
            yield
