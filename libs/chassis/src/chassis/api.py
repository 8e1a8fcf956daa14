"""The API factory: a process that answers a service's HTTP requests."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from chassis.http import create_app
from chassis.process import Process
from chassis.wiring import ServiceResources


def create_api[R: ServiceResources](
    *,
    title: str,
    description: str,
    process: Process,
    open_resources: Callable[[Process], AbstractAsyncContextManager[R]],
    routers: Iterable[APIRouter],
) -> FastAPI:
    """Make the API of a service.

    Args:
        title: of the OpenAPI document.
        description: likewise; Markdown.
        process: gets the long-lived tasks.
        open_resources: opens what the routes need; they find it as ``app.state.resources``.
        routers: the service's routes.
    """

    @asynccontextmanager
    async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with open_resources(process) as resources:
            yield {
                "database": resources.database,
                "verifier": resources.verifier,
                "resources": resources,
            }

    return create_app(
        title=title,
        description=description,
        process=process,
        routers=routers,
        open_resources=opened,
    )
