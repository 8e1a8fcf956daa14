"""The API process of notifications: lists over HTTP, and the live feed on WebSockets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from chassis.http import create_app as create_service_app
from chassis.process import Process, run_api
from chassis.settings import load
from notifications import routes
from notifications.feed import routes as feed_routes
from notifications.settings import NotificationsSettings
from notifications.wiring import open_api_resources


def create_app(settings: NotificationsSettings, process: Process | None = None) -> FastAPI:
    """Make the app."""

    @asynccontextmanager
    async def open_resources(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with open_api_resources(settings, process) as resources:
            yield {
                "database": resources.database,
                "verifier": resources.verifier,
                "resources": resources,
            }

    return create_service_app(
        title="Notifications",
        description="What happened to a user's orders, as a list and as a live feed.",
        process=process or Process(name="notifications", settings=settings),
        routers=[routes.router, feed_routes.router],
        open_resources=open_resources,
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(NotificationsSettings)
    process = Process(name="notifications", settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
