"""Construct the use cases of orders for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import use_case
from orders.catalog.wiring import products
from orders.customers.wiring import customers
from orders.orders.repository import OrderRepository
from orders.orders.service import OrderService
from orders.resources import OrdersResources


def orders(resources: OrdersResources, unit: Unit) -> OrderService:
    """Return the use cases of orders."""
    return OrderService(
        orders=OrderRepository(unit),
        products=products(resources, unit),
        customers=customers(resources, unit),
        outbox=resources.outbox(unit),
        unit=unit,
        metrics=resources.order_metrics,
    )


Orders = Annotated[OrderService, use_case(orders)]
