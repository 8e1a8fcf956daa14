"""The resources of both processes beyond the common ones."""

from dataclasses import dataclass
from datetime import timedelta

from chassis.wiring import ServiceResources
from orders.orders.models import OrderMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersResources(ServiceResources):
    """The resources of the API process, and of the worker.

    Attributes:
        order_metrics: counts orders and their changes.
    """

    order_metrics: OrderMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources(OrdersResources):
    """The resources of the worker.

    Attributes:
        confirm_within: an order that is not confirmed within this time is cancelled.
    """

    confirm_within: timedelta
