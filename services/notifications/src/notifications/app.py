"""The API process of notifications: lists over HTTP, and the live feed on WebSockets."""

from fastapi import FastAPI

from chassis.api import create_api
from chassis.process import Process, run_api
from chassis.settings import load
from notifications import routes
from notifications.feed import routes as feed_routes
from notifications.settings import NotificationsSettings
from notifications.wiring import open_api_resources


def create_app(settings: NotificationsSettings, process: Process | None = None) -> FastAPI:
    """Make the app."""
    return create_api(
        title="Notifications",
        description="What happened to a user's orders, as a list and as a live feed.",
        process=process or Process(name="notifications", settings=settings),
        routers=[routes.router, feed_routes.router],
        open_resources=lambda process: open_api_resources(settings, process),
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(NotificationsSettings)
    process = Process(name="notifications", settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
