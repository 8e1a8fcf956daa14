"""The route table: which paths go to which service, and under which limits.

A new service needs one entry here; the setting ``<SERVICE>_URL`` holds its address. The longest
prefix wins. Of two entries with the same prefix, the one that names the method wins. A path without
an entry gets 404 and never reaches a service, so internal paths need no deny list.

No path is public merely because of its prefix: an entry that requires no token is read-only or
exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chassis.http.limits import MAX_BODY_BYTES


class Auth(StrEnum):
    """Whether a route requires an access token."""

    PUBLIC = "public"
    """The gateway ignores a token. The service may read it."""
    OPTIONAL = "optional"
    """No token is required, but a token that is sent must be valid."""
    REQUIRED = "required"


class LimitClass(StrEnum):
    """The rate in the settings that a route counts against."""

    DEFAULT = "default"
    REGISTRATION = "registration"
    LOGIN = "login"
    EXPORT = "export"
    UNSUBSCRIBE = "unsubscribe"
    GRAPHQL = "graphql"
    """GraphQL operations; the requests that they make are not counted."""
    API_KEY = "api_key"
    """Requests with one API key, in place of `DEFAULT`."""
    API_KEY_EXCHANGE = "api_key_exchange"
    """API keys from one address that this process has to exchange."""


class BulkheadClass(StrEnum):
    """The share of a service's connections that a route may use."""

    PASSWORDS = "passwords"
    """Requests that hash a password: slow, and open to callers without an account."""
    EXPORTS = "exports"
    """Exports, whose whole document is in memory."""
    STREAMS = "streams"
    """Streams of events, which stay open for hours. Their connections are not those of requests."""


_CREDENTIALS_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of the route table.

    Attributes:
        prefix: the path, and all paths below it unless `exact`.
        service: the service's name in ``GatewaySettings.upstream_urls``.
        timeout: seconds from the request's head to the response's end. For a WebSocket: seconds
            for the handshake with the service. For a stream: seconds to the response's head.
        auth: whether a token is required.
        limit: the rate that a request counts against.
        bulkhead: the share of connections that the route may use; None for any free one. With a
            bulkhead a body is read whole before it is passed on, so lower `max_body_bytes`.
        max_body_bytes: the size limit of a body.
        host_cookies: whether the service gets cookies whose names begin with ``__Host-``. A
            browser sends the one with the refresh token to every path, and only the routes that
            read it may learn it.
        methods: the methods that the entry serves; None for any.
        exact: whether paths below the prefix are excluded.
        websocket: whether the entry serves only WebSockets. If False, it serves none.
        stream: whether the response is a stream of events (SSE), without end.
        first_message_seconds: WebSockets only: seconds after the handshake in which the client's
            first message must arrive. The gateway connects to the service after it.
        parts: the internal path at which every service returns a part of the response. The gateway
            merges the parts, and the request does not go to `service`. None: it does.
        subprotocols: WebSockets only: the subprotocols of the service. The gateway chooses one,
            since its handshake with the client ends before that with the service begins.
        represented: whether responses are compressed, and served as XML to a client that prefers
            it. False for pages, and for what only machines read by one standard. Streams never are.
        cacheable: whether the gateway keeps responses to GET that the service declares public. Such
            a request reaches the service without cookies and without fields that do not select a
            representation, so that no client can spoil the copy of another.
        deprecated: the day from which clients should not use the route any more (RFC 9745).
        sunset: the day from which the route may be gone (RFC 8594); not before `deprecated`.
        deprecation_notice: the URL of the page that says what to do instead.
        successor: the path of the version that replaces this one (RFC 5829).
    """

    prefix: str
    service: str
    timeout: float = 5.0
    auth: Auth = Auth.REQUIRED
    limit: LimitClass = LimitClass.DEFAULT
    bulkhead: BulkheadClass | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    host_cookies: bool = False
    methods: frozenset[str] | None = None
    exact: bool = False
    websocket: bool = False
    stream: bool = False
    first_message_seconds: float = 5.0
    parts: str | None = None
    subprotocols: frozenset[str] = frozenset()
    represented: bool = True
    cacheable: bool = False
    deprecated: date | None = None
    sunset: date | None = None
    deprecation_notice: str | None = None
    successor: str | None = None

    def __post_init__(self) -> None:
        if self.sunset is not None and (self.deprecated is None or self.sunset < self.deprecated):
            message = (
                f"The route {self.prefix} has the sunset {self.sunset}, and it is not deprecated "
                "before that. Set `deprecated` to the same day or an earlier one."
            )
            raise ValueError(message)

    def serves(self, method: str, *, below: bool) -> bool:
        """Return whether the entry serves `method`, on its own path or (`below`) on one below."""
        if below and self.exact:
            return False
        return self.methods is None or method in self.methods


_READ = frozenset({"GET", "HEAD"})
_POST = frozenset({"POST"})
_PUT = frozenset({"PUT"})

ROUTES = (
    Route(
        prefix="/api/v1/users",
        service="users",
        auth=Auth.PUBLIC,
        limit=LimitClass.REGISTRATION,
        bulkhead=BulkheadClass.PASSWORDS,
        max_body_bytes=_CREDENTIALS_BYTES,
        methods=_POST,
        exact=True,
    ),
    Route(prefix="/api/v1/users", service="users"),
    Route(
        prefix="/api/v1/users/me/export",
        service="users",
        timeout=30.0,
        limit=LimitClass.EXPORT,
        bulkhead=BulkheadClass.EXPORTS,
        exact=True,
        parts="/exports/me",
    ),
    Route(
        prefix="/api/v1/users/me/password",
        service="users",
        limit=LimitClass.LOGIN,
        bulkhead=BulkheadClass.PASSWORDS,
        max_body_bytes=_CREDENTIALS_BYTES,
        methods=_PUT,
        exact=True,
    ),
    Route(prefix="/api/v1/audit", service="users"),
    Route(prefix="/api/v1/auth", service="users"),
    Route(
        prefix="/api/v1/auth/login",
        service="users",
        auth=Auth.PUBLIC,
        limit=LimitClass.LOGIN,
        bulkhead=BulkheadClass.PASSWORDS,
        max_body_bytes=_CREDENTIALS_BYTES,
        methods=_POST,
        exact=True,
    ),
    *(
        Route(
            prefix=f"/api/v1/auth/passkeys/{step}",
            service="users",
            auth=Auth.PUBLIC,
            limit=LimitClass.LOGIN,
            max_body_bytes=_CREDENTIALS_BYTES,
            methods=_POST,
            exact=True,
        )
        for step in ("log-in-options", "log-in")
    ),
    Route(
        prefix="/api/v1/auth/token",
        service="users",
        auth=Auth.PUBLIC,
        methods=_POST,
        exact=True,
        host_cookies=True,
        represented=False,  # RFC 6749 knows JSON only
    ),
    Route(
        prefix="/api/v1/auth/revoke",
        service="users",
        auth=Auth.PUBLIC,
        methods=_POST,
        exact=True,
        host_cookies=True,
        represented=False,  # RFC 6749 knows JSON only
    ),
    Route(prefix="/api/v1/api-keys", service="users"),
    Route(
        prefix="/api/v1/email-verifications",
        service="users",
        auth=Auth.PUBLIC,
        methods=_POST,
        exact=True,
    ),
    Route(prefix="/api/v1/email-verifications", service="users"),
    Route(
        prefix="/api/v1/email-verifications/confirm",
        service="users",
        auth=Auth.PUBLIC,
        methods=_POST,
        exact=True,
    ),
    Route(
        prefix="/api/v1/password-resets",
        service="users",
        auth=Auth.PUBLIC,
        methods=_POST,
        exact=True,
    ),
    Route(prefix="/api/v1/password-resets", service="users"),
    Route(
        prefix="/api/v1/password-resets/confirm",
        service="users",
        auth=Auth.PUBLIC,
        limit=LimitClass.LOGIN,
        bulkhead=BulkheadClass.PASSWORDS,
        max_body_bytes=_CREDENTIALS_BYTES,
        methods=_POST,
        exact=True,
    ),
    Route(
        prefix="/.well-known",
        service="users",
        auth=Auth.PUBLIC,
        methods=_READ,
        # Not cacheable: a copy would go on to publish a key that was withdrawn.
        represented=False,  # readers of key sets and metadata know one form
    ),
    Route(prefix="/.well-known", service="users"),
    Route(
        prefix="/api/v1/products",
        service="orders",
        auth=Auth.PUBLIC,
        methods=_READ,
        cacheable=True,
    ),
    Route(prefix="/api/v1/products", service="orders"),
    Route(prefix="/api/v1/orders", service="orders"),
    Route(prefix="/api/v1/announcements", service="notifications"),
    Route(prefix="/api/v1/notifications", service="notifications"),
    Route(prefix="/api/v1/webhooks", service="notifications"),
    Route(
        prefix="/api/v1/notifications/unsubscribe",
        service="notifications",
        auth=Auth.PUBLIC,  # the token of a mail is in the query (RFC 8058)
        limit=LimitClass.UNSUBSCRIBE,
        max_body_bytes=_CREDENTIALS_BYTES,
        methods=_READ | _POST,
        exact=True,
        represented=False,  # mail programs and browsers send an Accept of their own
    ),
    Route(
        prefix="/api/v1/notifications/stream",
        service="notifications",
        auth=Auth.OPTIONAL,  # the service accepts a ticket in place of a token
        bulkhead=BulkheadClass.STREAMS,
        methods=_READ,
        exact=True,
        stream=True,
    ),
    Route(
        prefix="/api/v1/notifications/ws",
        service="notifications",
        auth=Auth.PUBLIC,  # the token comes in the first message, which the service reads
        exact=True,
        websocket=True,
    ),
)

SERVICES = tuple(dict.fromkeys(route.service for route in ROUTES))
"""The services in the table; each has a setting for its address, e.g. ``ORDERS_URL``."""

WEBSOCKET = "WEBSOCKET"
"""The value of `method` that means a WebSocket handshake."""


class RouteTable:
    """Finds the entry for a request.

    Args:
        routes: the entries, in any order.

    Attributes:
        merged: the entries whose responses are merged from parts.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._http: dict[str, list[Route]] = {}
        self._websockets: dict[str, list[Route]] = {}
        self.merged: list[Route] = []
        for route in routes:
            if route.parts is not None:
                self.merged.append(route)
            table = self._websockets if route.websocket else self._http
            entries = table.setdefault(route.prefix, [])
            entries.append(route)
            entries.sort(key=lambda entry: entry.methods is None)

    def find(self, method: str, path: str) -> Route | None:
        """Return the entry for a path as it was sent, or None. An encoded prefix does not match."""
        table = self._websockets if method == WEBSOCKET else self._http
        prefix, below = path, False
        while prefix:
            for route in table.get(prefix, ()):
                if route.serves(method, below=below):
                    return route
            prefix, below = prefix.rpartition("/")[0], True
        return None
