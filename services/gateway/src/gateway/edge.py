"""The outermost layer: it decides whether an exchange, a socket or an own route serves a request.

It also defines the header fields of every response. The server's protocols add them, since some
responses do not pass through this layer.
"""

from typing import Protocol

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http.context import RequestContext
from chassis.http.metrics import HttpMetrics
from chassis.raw_problems import Fields
from gateway.addresses import Addresses
from gateway.cors import Cors
from gateway.links.problems import AcceptedProblems
from gateway.options import Options
from gateway.path.server import CommonLines, PathServer
from gateway.paths import is_plain
from gateway.routes import WEBSOCKET, Route, RouteTable
from gateway.tracing import ROUTE, Traces

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class DataPaths(Protocol):
    """What serves the route table while the gateway runs: for exchanges, and by ASGI."""

    server: PathServer
    websocket: ASGIApp
    exports: ASGIApp


class Edge:
    """Dispatches each connection.

    Args:
        own: the gateway's own routes; its lifespan sets ``state.paths``.
        table: the routes to services.
        addresses: finds the client's address.
        cors: makes the CORS fields.
        options: responds to OPTIONS.
        traces: removes a trace context that is not trusted from requests of the own routes.
        metrics: the HTTP metrics.
        hsts_max_age: seconds; 0 sends no Strict-Transport-Security.
    """

    def __init__(
        self,
        *,
        own: FastAPI,
        table: RouteTable,
        addresses: Addresses,
        cors: Cors,
        options: Options,
        traces: Traces,
        metrics: HttpMetrics,
        hsts_max_age: int,
    ) -> None:
        self.own = own
        self._problems = AcceptedProblems(own)
        self.addresses = addresses
        self.common_lines = CommonLines(self.common_fields)
        self._table = table
        self._cors = cors
        self._options = options
        self._traces = traces
        self._metrics = metrics
        self._always = list(_ALWAYS)
        if hsts_max_age:
            value = f"max-age={hsts_max_age}; includeSubDomains".encode()
            self._always.append((b"strict-transport-security", value))
        self._without_origin = [*self._always, *cors.fields(None)]

    def common_fields(self, request: Fields) -> Fields:
        """Return the common fields of a response, given the fields of its request."""
        for name, value in request:
            if name == b"origin":
                return [*self._always, *self._cors.fields(value.strip())]
        return self._without_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "http":
            await self._app_for(scope)(scope, receive, send)
        elif scope["type"] == "websocket":
            scope[ROUTE] = self._table.find(WEBSOCKET, _path(scope))
            await self._paths.websocket(scope, receive, send)
        else:
            await self.own(scope, receive, send)

    @property
    def server(self) -> PathServer:
        """What the exchanges of all connections share."""
        return self._paths.server

    def proxied(self, method: str, raw_path: bytes, fields: Fields) -> tuple[bool, Route | None]:
        """Return whether an exchange serves the request, and its route.

        The gateway's own routes, OPTIONS and merged documents are left to ASGI.
        """
        route = self._table.find(method, raw_path.decode("latin-1"))
        if method == "OPTIONS" and self._options.answer({"headers": fields, "raw_path": raw_path}):
            return False, None
        if route is None:
            return not is_plain(raw_path), None
        return route.parts is None, route

    @property
    def _paths(self) -> DataPaths:
        paths: DataPaths = self.own.state.paths
        return paths

    def _app_for(self, scope: Scope) -> ASGIApp:
        if scope["method"] == "OPTIONS":
            answer = self._options.answer(scope)
            if answer is not None:
                return RequestContext(answer, metrics=self._metrics)
        scope[ROUTE] = route = self._table.find(scope["method"], _path(scope))
        return self._own if route is None else self._paths.exports

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._problems(self._traces.without_untrusted(scope), receive, send)


def _path(scope: Scope) -> str:
    path: str = scope["raw_path"].decode("latin-1")
    return path
