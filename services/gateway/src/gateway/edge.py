"""The outermost layer: it tells what goes to a service from what the gateway answers itself.

Here also stand the fields that every answer carries, whoever gave it.
"""

from typing import Protocol

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.cors import Cors
from gateway.paths import is_plain
from gateway.routes import WEBSOCKET, RouteTable
from gateway.tracing import ROUTE

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class DataPaths(Protocol):
    """What serves the route table, once it is open."""

    http: ASGIApp
    websocket: ASGIApp


class Edge:
    """Sends each connection where it belongs.

    Args:
        own: the gateway's own routes; its lifespan opens ``state.paths``.
        table: of the routes to services.
        cors: says which pages may read the answers.
        hsts_max_age: seconds; 0 sends no Strict-Transport-Security.
    """

    def __init__(self, *, own: FastAPI, table: RouteTable, cors: Cors, hsts_max_age: int) -> None:
        self.own = own
        self._table = table
        self._cors = cors
        self._always = list(_ALWAYS)
        if hsts_max_age:
            value = f"max-age={hsts_max_age}; includeSubDomains".encode()
            self._always.append((b"strict-transport-security", value))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            scope[ROUTE] = self._table.find(WEBSOCKET, _path(scope))
            await self._paths.websocket(scope, receive, send)
        else:
            await self.own(scope, receive, send)

    @property
    def _paths(self) -> DataPaths:
        paths: DataPaths = self.own.state.paths
        return paths

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = asked = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"access-control-request-method":
                asked = value
        if origin is not None and asked is not None and scope["method"] == "OPTIONS":
            answer = Response(status_code=204)
            answer.raw_headers += self._cors.preflight(origin)
            await answer(scope, receive, send)
            return
        added = self._always + self._cors.fields(origin)

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app_for(scope)(scope, receive, send_with_fields)

    def _app_for(self, scope: Scope) -> ASGIApp:
        scope[ROUTE] = route = self._table.find(scope["method"], _path(scope))
        if route is None and is_plain(scope["raw_path"]):
            return self.own
        return self._paths.http


def _path(scope: Scope) -> str:
    path: str = scope["raw_path"].decode("latin-1")
    return path
