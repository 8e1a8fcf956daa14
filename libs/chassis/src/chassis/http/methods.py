"""Methods of a resource: HEAD for every GET (RFC 9110 §9.1), and ``Allow`` with all of them.

The framework handles methods per route, HTTP per resource: two routes of one path are one resource.
"""

from collections.abc import Awaitable, Iterable

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.wire_names import MERGE_PATCH

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_KEY = "chassis.method"


class HeadAsGet:
    """Serves HEAD as GET without the body: the same status and fields, including Content-Length.

    The routes receive GET, so no route declares HEAD, and OpenAPI shows no second operation.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection (ASGI); the next layer's awaitable costs no coroutine here."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self._app(scope, receive, send)
        return self._get(scope, receive, send)

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        got = {**scope, "method": "GET", _KEY: "HEAD"}
        try:
            await self._app(got, receive, send_without_body)
        finally:
            if "route" in got:  # the layers around this one name the route in metrics, log and span
                scope["route"] = got["route"]


def method_of(scope: Scope) -> str:
    """Return the method as the client sent it."""
    method: str = scope.get(_KEY, scope["method"])
    return method


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods that the path of a request offers, for `Allow` (RFC 9110 §10.2.1).

    Args:
        routes: the routes of the app that rejected the request.
        scope: the scope of the request.
    """
    known = list(routes)
    offered = {method for method in _METHODS if _serves(known, scope, method)}
    if "GET" in offered:
        offered.add("HEAD")
    return sorted(offered)


def allow_fields(methods: Iterable[str]) -> dict[str, str]:
    """Return the fields that name the methods of a path: `Allow`, and with PATCH `Accept-Patch`.

    All changes in parts are merge patches (RFC 7396), so one value of `Accept-Patch` (RFC 5789
    §3.1) is right for each path.
    """
    allowed = list(methods)
    fields = {"Allow": ", ".join(allowed)}
    if "PATCH" in allowed:
        fields["Accept-Patch"] = MERGE_PATCH
    return fields


def _serves(routes: Iterable[BaseRoute], scope: Scope, method: str) -> bool:
    # A new scope: the request's own holds the router's match for the rejected method.
    asked = {
        "type": "http",
        "method": method,
        "path": scope["path"],
        "root_path": scope.get("root_path", ""),
        "headers": [],
    }
    return any(route.matches(asked)[0] is Match.FULL for route in routes)
