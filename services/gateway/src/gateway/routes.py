"""The route table: which paths go to which service, and on what terms.

A new service is one entry here and its address in the settings. The longest prefix wins; of two
entries with the same prefix, the one that names the method does. What no entry names is answered
404 and never reaches a service, so internal paths need no list of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Auth(StrEnum):
    """Whether a route wants an access token."""

    PUBLIC = "public"
    """None is looked at; the service may."""
    OPTIONAL = "optional"
    """None is needed, but one that comes must be good."""
    REQUIRED = "required"


class LimitClass(StrEnum):
    """Which of the rates in the settings a route counts against."""

    DEFAULT = "default"
    REGISTRATION = "registration"
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry.

    Attributes:
        prefix: the path, and all below it unless `exact`.
        service: who answers: a name in ``GatewaySettings.upstream_urls``.
        timeout: seconds from the request's head to the answer's end.
        auth: whether a token is wanted.
        limit: which rate it counts against.
        methods: the only ones that the entry is for; None: any.
        exact: whether paths below the prefix are excluded.
        websocket: whether the entry is for WebSockets, and for nothing else.
    """

    prefix: str
    service: str
    timeout: float = 10.0
    auth: Auth = Auth.REQUIRED
    limit: LimitClass = LimitClass.DEFAULT
    methods: frozenset[str] | None = None
    exact: bool = False
    websocket: bool = False

    def serves(self, method: str, *, below: bool) -> bool:
        """Whether the entry is for `method`, for its own path or for one below it."""
        if below and self.exact:
            return False
        return self.methods is None or method in self.methods


_READ = frozenset({"GET", "HEAD"})
_POST = frozenset({"POST"})

ROUTES = (
    Route(
        prefix="/api/v1/users",
        service="users",
        auth=Auth.PUBLIC,
        limit=LimitClass.REGISTRATION,
        methods=_POST,
        exact=True,
    ),
    Route(prefix="/api/v1/users", service="users"),
    Route(prefix="/api/v1/auth", service="users", timeout=5.0, auth=Auth.PUBLIC),
    Route(
        prefix="/api/v1/auth/login",
        service="users",
        timeout=5.0,
        auth=Auth.PUBLIC,
        limit=LimitClass.LOGIN,
    ),
    Route(prefix="/.well-known", service="users", auth=Auth.PUBLIC),
    Route(prefix="/api/v1/products", service="orders", auth=Auth.PUBLIC, methods=_READ),
    Route(prefix="/api/v1/products", service="orders"),
    Route(prefix="/api/v1/orders", service="orders"),
    Route(prefix="/api/v1/notifications", service="notifications"),
    Route(
        prefix="/api/v1/notifications/ws",
        service="notifications",
        auth=Auth.PUBLIC,  # the token comes in the first message, which the service reads
        exact=True,
        websocket=True,
    ),
)

WEBSOCKET = "WEBSOCKET"
"""What stands for the method where a WebSocket is asked for."""


class RouteTable:
    """Finds the entry for a request.

    Args:
        routes: the entries, in any order.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._http: dict[str, list[Route]] = {}
        self._websockets: dict[str, list[Route]] = {}
        for route in routes:
            table = self._websockets if route.websocket else self._http
            entries = table.setdefault(route.prefix, [])
            entries.append(route)
            entries.sort(key=lambda entry: entry.methods is None)

    def find(self, method: str, path: str) -> Route | None:
        """Find the entry for a path as it was sent: an encoded prefix is no prefix of ours."""
        table = self._websockets if method == WEBSOCKET else self._http
        prefix, below = path, False
        while prefix:
            for route in table.get(prefix, ()):
                if route.serves(method, below=below):
                    return route
            prefix, below = prefix.rpartition("/")[0], True
        return None
