"""The composition root: the worker's resources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.process import Process
from chassis.wiring import ServiceResources
from orders.resources import WorkerResources
from orders.settings import OrdersSettings


@asynccontextmanager
async def open_resources(
    common: ServiceResources, settings: OrdersSettings, _process: Process
) -> AsyncIterator[WorkerResources]:
    """Add the worker's settings to the common resources."""
    yield common.extended(WorkerResources, confirm_within=settings.confirm_within)
