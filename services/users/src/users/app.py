"""The HTTP process of the users service."""

from fastapi import FastAPI

from chassis.api import create_api
from chassis.process import Process, run_api
from chassis.settings import load
from users.accounts import routes as accounts
from users.sessions import routes as sessions
from users.settings import UsersSettings
from users.wiring import SERVICE, open_resources

_DESCRIPTION = "Accounts, sessions and the keys that access tokens are verified with."


def create_app(settings: UsersSettings, process: Process | None = None) -> FastAPI:
    """Make the app."""
    return create_api(
        title="Users",
        description=_DESCRIPTION,
        process=process or Process(name=SERVICE, settings=settings),
        routers=[accounts.router, sessions.router, sessions.keys],
        open_resources=lambda process: open_resources(settings, process),
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(UsersSettings)
    process = Process(name=SERVICE, settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
