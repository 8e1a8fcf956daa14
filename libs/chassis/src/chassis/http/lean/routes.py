"""The ASGI layer that finds the route of a request, and serves it if it is lean."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from chassis.http.content import JsonRequest
from chassis.http.lean.compiling import FastApiServes, compiled
from chassis.http.lean.route import LeanRoute
from chassis.http.routing import ChassisRoute
from chassis.library_internals.fastapi import DeclaredRoute, declared_routes

_SERVER_ERRORS = (500, Exception)  # Starlette handles these in its outermost layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A route in the table.

    Attributes:
        match: matches a path, as FastAPI would.
        convertors: the types of the path's parameters.
        route: the route, for labels and spans.
        endpoint: the route's function.
        app: serves the request; None if FastAPI must.
    """

    match: Callable[[str], Any]
    convertors: dict[str, Any]
    route: BaseRoute
    endpoint: Any
    app: ASGIApp | None


class LeanRoutes:
    """Serves the requests to lean routes; FastAPI serves all others.

    The table has every route of the app in FastAPI's order, so a path that two routes match goes to
    the same one. FastAPI tries each route of each router twice, in two layers.

    An app with ``dependency_overrides`` is served by FastAPI alone, and so is a mounted app.

    Args:
        app: the next layer, which ends in FastAPI's router.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._table: dict[str, list[Entry]] | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection (ASGI); the next layer's awaitable costs no coroutine here."""
        if scope["type"] == "lifespan":  # no request waits until the routes are compiled
            self._table = table_of(scope["app"])
        found = self._find(scope) if scope["type"] == "http" else None
        return (found or self._app)(scope, receive, send)

    def _find(self, scope: Scope) -> ASGIApp | None:
        app: FastAPI = scope["app"]
        if app.dependency_overrides or scope.get("root_path"):
            return None
        if self._table is None:
            self._table = table_of(app)
        path = scope["path"]
        for entry in self._table.get(scope["method"], ()):
            matched = entry.match(path)
            if matched is None:
                continue
            if entry.app is not None:
                scope["path_params"] = {
                    name: entry.convertors[name].convert(value)
                    for name, value in matched.groupdict().items()
                }
                scope["route"] = entry.route
                scope["endpoint"] = entry.endpoint
                scope["router"] = app.router
            return entry.app
        return None


def table_of(app: FastAPI) -> dict[str, list[Entry]]:
    """Return the app's routes by method, in the order in which FastAPI tries them."""
    handlers = {
        kind: handler
        for kind, handler in app.exception_handlers.items()
        if kind not in _SERVER_ERRORS
    }
    table: dict[str, list[Entry]] = {}
    for route in _matched_by_path(declared_routes(app.routes)):
        entry = Entry(
            match=route.path_regex.match,
            convertors=route.param_convertors,
            route=route.original_route,
            endpoint=route.endpoint,
            app=_app_of(route, handlers),
        )
        for method in route.methods or ():
            table.setdefault(method, []).append(entry)
    return table


def _app_of(route: DeclaredRoute, handlers: Mapping[Any, ExceptionHandler]) -> ASGIApp | None:
    """Return what serves a route; None if FastAPI does."""
    if not isinstance(route.original_route, ChassisRoute):
        return None
    lean = compiled(route)
    return None if isinstance(lean, FastApiServes) else _Handled(lean, handlers)


class _Handled:
    """Serves a lean route, and passes its errors to the app's handlers.

    Starlette's middleware for that wraps each request and each message. A lean route sends nothing
    before its functions have ended, and a plain response can't fail. So only a request that failed
    needs that middleware, and a response with a way of its own, such as a stream.

    Args:
        lean: the route.
        handlers: the handlers, as Starlette's middleware takes them.
    """

    def __init__(self, lean: LeanRoute, handlers: Mapping[Any, ExceptionHandler]) -> None:
        self._lean = lean
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        try:
            response = await self._lean.respond(JsonRequest(scope, receive, send))
        except Exception as error:  # noqa: BLE001 - the handlers decide
            await self._failed(error)(scope, receive, send)
            return
        if type(response).__call__ is not Response.__call__:
            await ExceptionMiddleware(response, self._handlers)(scope, receive, send)
        else:
            await response(scope, receive, send)

    def _failed(self, error: Exception) -> ASGIApp:
        async def fail(*_: object) -> None:
            raise error

        return ExceptionMiddleware(fail, self._handlers)


def _matched_by_path(routes: Iterable[DeclaredRoute]) -> Iterable[DeclaredRoute]:
    """Return the routes up to one, such as a mount, that may match what its path does not say."""
    for route in routes:
        if isinstance(route.original_route, Route | APIRoute):
            yield route
        elif not isinstance(route.original_route, WebSocketRoute):
            return
