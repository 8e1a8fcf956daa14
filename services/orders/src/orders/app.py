"""The HTTP process of the orders service."""

from fastapi import FastAPI

from chassis.api import create_api
from chassis.process import Process, run_api
from chassis.settings import load
from orders import routes as orders
from orders.catalog import routes as catalog
from orders.settings import OrdersSettings
from orders.wiring import SERVICE, open_resources

_DESCRIPTION = "The catalogue with its stock, and the orders that customers place."


def create_app(settings: OrdersSettings, process: Process | None = None) -> FastAPI:
    """Make the app."""
    return create_api(
        title="Orders",
        description=_DESCRIPTION,
        process=process or Process(name=SERVICE, settings=settings),
        routers=[catalog.router, orders.router],
        open_resources=lambda process: open_resources(settings, process),
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(OrdersSettings)
    process = Process(name=SERVICE, settings=settings)
    run_api(process, create_app(settings, process))


if __name__ == "__main__":
    main()
