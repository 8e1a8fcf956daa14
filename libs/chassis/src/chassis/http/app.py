"""The app factory: it makes the app of every HTTP process, so that all behave alike.

Middleware, outermost first: readable fields; trace; request id and log line; HEAD; deadline; body
limits; failures; lean routes. All of it is plain ASGI: Starlette's BaseHTTPMiddleware would copy
every body and hide disconnects.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from chassis.http.context import RequestContext
from chassis.http.deadlines import Deadlines
from chassis.http.documentation import Documentation
from chassis.http.failures import Failures, add_handlers
from chassis.http.fields import ReadableFields
from chassis.http.lean import LeanRoutes
from chassis.http.limits import BodyLimits
from chassis.http.methods import HeadAsGet
from chassis.http.metrics import HttpMetrics
from chassis.http.openapi import describe
from chassis.http.tracing import NO_NATIVE_TELEMETRY, ServerSpan
from chassis.process import Process

OpenResources = Callable[[Process], AbstractAsyncContextManager[Mapping[str, Any]]]


def create_app(
    *,
    title: str,
    description: str,
    process: Process,
    routers: Iterable[APIRouter],
    open_resources: OpenResources,
    metrics: HttpMetrics | None = None,
    openapi_url: str | None = "/openapi.json",
    documentation: Documentation | None = None,
) -> FastAPI:
    """Return the app of a service.

    Args:
        title: the title of the OpenAPI document.
        description: the description in the OpenAPI document; Markdown.
        process: runs the long-lived tasks; its health is set to started once all is open.
        routers: the service's routes.
        open_resources: opens the process's resources, and yields them by name for ``app.state``.
            The chassis reads ``database`` and ``verifier``. If opening fails half-way, it must
            close what it has opened: use an AsyncExitStack.
        metrics: the HTTP metrics, if the process shares them with other HTTP apps. If omitted, the
            app makes its own.
        openapi_url: where the app serves its OpenAPI document; None serves none.
        documentation: the tags and the examples of the OpenAPI document; None adds neither.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with process.running(open_resources(process)) as resources:
            for name, resource in resources.items():
                setattr(app.state, name, resource)
            process.health.started()
            yield

    app = FastAPI(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=openapi_url,
        telemetry=NO_NATIVE_TELEMETRY,
        redirect_slashes=False,  # the redirect would name this process's own host
        middleware=[
            Middleware(ReadableFields),
            Middleware(ServerSpan),
            Middleware(
                RequestContext,
                metrics=metrics or HttpMetrics(process.registry),
                process=process.name,
            ),
            Middleware(HeadAsGet),
            Middleware(Deadlines),
            Middleware(BodyLimits),
            Middleware(Failures),
            Middleware(LeanRoutes),
        ],
    )
    app.state.process = process
    add_handlers(app)
    for router in routers:
        app.include_router(router)
    describe(app, documentation)
    return app
