"""Puts GraphQL together."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.addresses import Addresses
from gateway.graph.connections import SocketTerms
from gateway.graph.context import Terms
from gateway.graph.endpoint import Endpoint, Limits
from gateway.graph.execution import Executor
from gateway.graph.gate import PATH, Gate
from gateway.graph.operations import Bounds, Operations
from gateway.graph.schema import build_schema
from gateway.graph.sockets import GraphqlSockets
from gateway.methods import Offered
from gateway.settings import GatewaySettings
from gateway.socket_bounds import SocketBounds

METHODS: Offered = {PATH: "GET POST"}
"""What the endpoint offers, for 405 and OPTIONS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """GraphQL's two transports.

    Attributes:
        http: serves `/graphql` over HTTP.
        websocket: serves its WebSockets.
    """

    http: Endpoint
    websocket: GraphqlSockets

    def before(self, others: ASGIApp) -> ASGIApp:
        """Return an app that serves GraphQL's WebSockets, and leaves all others to `others`."""

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            own = scope["raw_path"] == PATH.encode()
            await (self.websocket if own else others)(scope, receive, send)

        return served


def open_graph(
    settings: GatewaySettings,
    *,
    gate: Gate,
    bounds: SocketBounds,
    addresses: Addresses,
    stopping: asyncio.Event,
) -> Graph:
    """Return GraphQL, as the settings want it."""
    schema = build_schema()
    bounds_of_documents = Bounds(
        tokens=settings.graphql_tokens,
        depth=settings.graphql_depth,
        aliases=settings.graphql_aliases,
        cost=settings.graphql_cost,
    )
    operations = Operations(schema, bounds_of_documents, introspection=settings.introspects)
    executor = Executor(schema, operations)
    terms = Terms(seconds=settings.graphql_timeout, calls=settings.graphql_calls)
    limits = Limits(
        terms=terms,
        body=settings.graphql_body_bytes,
        batch=settings.graphql_batch,
        cost=settings.graphql_cost,
    )
    socket_terms = SocketTerms(
        terms=terms,
        init_seconds=settings.graphql_init_timeout,
        idle_seconds=settings.graphql_idle_timeout,
        operations=settings.graphql_socket_operations,
    )
    return Graph(
        http=Endpoint(gate=gate, executor=executor, limits=limits, stopping=stopping),
        websocket=GraphqlSockets(
            gate=gate, executor=executor, bounds=bounds, addresses=addresses, terms=socket_terms
        ),
    )


class _Served:
    """Serves `/graphql` with the endpoint that the running app holds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        graph: Graph = scope["app"].state.graph
        await graph.http(scope, receive, send)


def graph_router() -> APIRouter:
    """Return the router of `/graphql` over HTTP."""
    router = APIRouter(include_in_schema=False)
    router.routes.append(Route(PATH, _Served()))
    return router
