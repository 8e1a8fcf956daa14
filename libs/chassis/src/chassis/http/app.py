"""The app factory: every HTTP process is made here, so that all behave alike.

Middleware, from the outside in: trace; request id and log line; body limits; failures. All of it is
plain ASGI: Starlette's BaseHTTPMiddleware would copy every body and hide disconnects.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.middleware import Middleware

from chassis.http.context import RequestContext
from chassis.http.failures import Failures, add_handlers
from chassis.http.limits import BodyLimits
from chassis.http.openapi import describe
from chassis.process import Process

OpenResources = Callable[[Process], AbstractAsyncContextManager[Mapping[str, Any]]]


def create_app(
    *,
    title: str,
    description: str,
    process: Process,
    routers: Iterable[APIRouter],
    open_resources: OpenResources,
    openapi_url: str | None = "/openapi.json",
) -> FastAPI:
    """Make the app of a service.

    Args:
        title: of the OpenAPI document.
        description: likewise; Markdown.
        process: gets the long-lived tasks; its health is told when all is open.
        routers: the service's routes.
        open_resources: opens what the process holds, and gives it by name for ``app.state``:
            ``database`` and ``verifier`` are those that the chassis looks for. What was opened
            before a failure must be closed: use an AsyncExitStack.
        openapi_url: where the app's own document is served; None: nowhere.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            process.tasks(),
            open_resources(process) as resources,
            process.ending_tasks(),
        ):
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
        redirect_slashes=False,  # the redirect would name this process's own host
        middleware=[
            Middleware(OpenTelemetryMiddleware, exclude_spans=["send", "receive"]),
            Middleware(RequestContext),
            Middleware(BodyLimits),
            Middleware(Failures),
        ],
    )
    app.state.process = process
    add_handlers(app)
    for router in routers:
        app.include_router(router)
    describe(app)
    return app
