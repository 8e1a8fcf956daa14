"""The gateway's process."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from chassis.http import create_app as create_own_app
from chassis.process import Process, run_api
from chassis.settings import load
from gateway.cors import Cors
from gateway.documents import EXCEPTION_HANDLERS, documents_router, own_limiter
from gateway.edge import Edge
from gateway.routes import ROUTES, Route, RouteTable
from gateway.settings import GatewaySettings
from gateway.wiring import NAME, open_resources

_DESCRIPTION = "The routes that the gateway answers itself; all others are passed to services."


def create_app(
    settings: GatewaySettings, process: Process | None = None, routes: Iterable[Route] = ROUTES
) -> Edge:
    """Make the app.

    Args:
        settings: of the gateway.
        process: None makes one.
        routes: to the services.
    """
    table = RouteTable(routes)
    limiter = own_limiter(settings)

    @asynccontextmanager
    async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with open_resources(settings, process, table) as resources:
            yield {"paths": resources.paths, "documents": resources.documents}

    own = create_own_app(
        title="Gateway",
        description=_DESCRIPTION,
        process=process or Process(name=NAME, settings=settings),
        routers=[documents_router(limiter, settings.limit_documents)],
        open_resources=opened,
        openapi_url=None,
    )
    own.state.limiter = limiter
    for kind, handler in EXCEPTION_HANDLERS.items():
        own.add_exception_handler(kind, handler)
    cors = Cors(origins=settings.cors_allow_origins, credentials=settings.cors_allow_credentials)
    return Edge(own=own, table=table, cors=cors, hsts_max_age=settings.hsts_max_age)


def main() -> None:
    """Serve until told to stop."""
    settings = load(GatewaySettings)
    process = Process(name=NAME, settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
