"""The gateway's ASGI app and its process."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from opentelemetry import trace

from chassis.http import create_app as create_own_app
from chassis.http.metrics import HttpMetrics
from chassis.process import Process, Protocols, run_api
from chassis.settings import load
from gateway.addresses import Addresses
from gateway.cors import Cors
from gateway.documents import EXCEPTION_HANDLERS, documents_router
from gateway.edge import Edge
from gateway.graph.wiring import METHODS, graph_router
from gateway.handshakes import Handshakes
from gateway.methods import Methods, methods_of, read_methods
from gateway.options import Options
from gateway.own_limits import OwnCounts, own_limiter
from gateway.path.protocol import PathProtocol
from gateway.routes import ROUTES, Route, RouteTable
from gateway.settings import GatewaySettings
from gateway.tracing import Traces, route_label
from gateway.wiring import NAME, Door, open_resources

_DESCRIPTION = "The routes that the gateway serves itself. It passes all others to services."


def create_app(
    settings: GatewaySettings, process: Process | None = None, routes: Iterable[Route] = ROUTES
) -> Edge:
    """Return the app.

    Args:
        settings: the gateway's settings.
        process: the process that runs the app; None creates one.
        routes: the routes to the services.
    """
    process = process or Process(name=NAME, settings=settings)
    addresses = Addresses(settings.trusted_proxies)
    own_counts = OwnCounts()
    limiter = own_limiter(settings, addresses, own_counts)
    router = documents_router(limiter, settings.limit_documents, graphql_page=settings.introspects)
    door = Door(
        table=RouteTable(routes),
        addresses=addresses,
        traces=Traces(
            tracer=trace.get_tracer(NAME),
            addresses=addresses,
            trust_clients=settings.trust_client_traces,
            share=settings.otel_traces_sampler_arg,
            exported=settings.otel_exporter_otlp_endpoint is not None,
        ),
        methods=Methods({**read_methods(), **methods_of(router), **METHODS}),
        metrics=HttpMetrics(process.registry, route_of=route_label),
        own_counts=own_counts,
    )

    @asynccontextmanager
    async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with open_resources(settings, process, door) as resources:
            yield {
                "paths": resources.paths,
                "documents": resources.documents,
                "graph": resources.graph,
            }

    own = create_own_app(
        title="Gateway",
        description=_DESCRIPTION,
        process=process,
        metrics=door.metrics,
        routers=[router, graph_router()],
        open_resources=opened,
        openapi_url=None,
    )
    own.state.limiter = limiter
    for kind, handler in EXCEPTION_HANDLERS.items():
        own.add_exception_handler(kind, handler)
    cors = Cors(origins=settings.cors_allow_origins, credentials=settings.cors_allow_credentials)
    return Edge(
        own=own,
        table=door.table,
        addresses=addresses,
        cors=cors,
        options=Options(cors=cors, methods=door.methods),
        traces=door.traces,
        metrics=door.metrics,
        hsts_max_age=settings.hsts_max_age,
    )


def protocols_of(app: Edge) -> Protocols:
    """Return the server's protocols, which add the app's common fields to every response."""
    return Protocols(
        http=PathProtocol.of(app),
        websocket=partial(Handshakes, common_fields=app.common_fields),
        common_fields=app.common_fields,
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    process = Process(name=NAME, settings=settings)
    app = create_app(settings, process)
    run_api(process, app, protocols_of(app))
