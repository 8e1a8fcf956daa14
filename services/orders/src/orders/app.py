"""The HTTP process of the orders service."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from chassis.http import create_app as create_service_app
from chassis.process import Process, run_api
from chassis.settings import load
from orders import routes as orders
from orders.catalog import routes as catalog
from orders.settings import OrdersSettings
from orders.wiring import SERVICE, open_resources

_DESCRIPTION = "The catalogue with its stock, and the orders that customers place."


def create_app(settings: OrdersSettings, process: Process | None = None) -> FastAPI:
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
        title="Orders",
        description=_DESCRIPTION,
        process=process or Process(name=SERVICE, settings=settings),
        routers=[catalog.router, orders.router],
        open_resources=opened,
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(OrdersSettings)
    process = Process(name=SERVICE, settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
