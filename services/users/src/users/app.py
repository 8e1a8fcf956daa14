"""The HTTP process of the users service."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from chassis.http import create_app as create_service_app
from chassis.process import Process, run_api
from chassis.settings import load
from users.accounts import routes as accounts
from users.sessions import routes as sessions
from users.settings import UsersSettings
from users.wiring import SERVICE, open_resources

_DESCRIPTION = "Accounts, sessions and the keys that access tokens are verified with."


def create_app(settings: UsersSettings, process: Process | None = None) -> FastAPI:
    """Make the app."""

    @asynccontextmanager
    async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
        async with open_resources(settings, process) as resources:
            yield {
                "database": resources.database,
                "verifier": resources.verifier,
                "resources": resources,
            }

    return create_service_app(
        title="Users",
        description=_DESCRIPTION,
        process=process or Process(name=SERVICE, settings=settings),
        routers=[accounts.router, sessions.router, sessions.keys],
        open_resources=opened,
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(UsersSettings)
    process = Process(name=SERVICE, settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
