"""The API factory: a process that serves a service's HTTP routes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from chassis.exports.routes import export_router
from chassis.http import create_app
from chassis.process import Process
from chassis.service import Service
from chassis.wiring import ServiceSettings


def create_api(
    service: Service[Any], settings: ServiceSettings, process: Process | None = None
) -> FastAPI:
    """Return the app of a service's API process.

    Routes find the process's resources in ``app.state.resources``.

    Args:
        service: the declaration.
        settings: an instance of ``service.api.settings``.
        process: runs the long-lived tasks. If omitted, it is made from the service's name.
    """
    process = process or Process(name=service.name, settings=settings)

    @asynccontextmanager
    async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with service.open_api(settings, process) as resources:
            yield {
                "database": resources.database,
                "verifier": resources.verifier,
                "resources": resources,
            }

    return create_app(
        title=service.title,
        description=service.about,
        process=process,
        routers=[*service.routers, export_router(service.name, service.all_exports)],
        open_resources=opened,
        documentation=service.documentation,
    )
