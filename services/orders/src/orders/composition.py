"""The composition root: the resources of both processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.process import Process
from chassis.wiring import ServiceResources
from orders.orders.models import OrderMetrics
from orders.resources import OrdersResources, WorkerResources
from orders.settings import OrdersSettings


@asynccontextmanager
async def open_api_resources(
    common: ServiceResources, _settings: OrdersSettings, process: Process
) -> AsyncIterator[OrdersResources]:
    """Add the metrics to the common resources."""
    yield common.extended(OrdersResources, order_metrics=OrderMetrics(process.registry))


@asynccontextmanager
async def open_resources(
    common: ServiceResources, settings: OrdersSettings, process: Process
) -> AsyncIterator[WorkerResources]:
    """Add the metrics and the worker's settings to the common resources."""
    yield common.extended(
        WorkerResources,
        order_metrics=OrderMetrics(process.registry),
        confirm_within=settings.confirm_within,
    )
