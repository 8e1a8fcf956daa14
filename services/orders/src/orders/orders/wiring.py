"""Construct the use cases of orders for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from orders.catalog.wiring import products
from orders.customers.wiring import customers
from orders.orders.repository import OrderRepository
from orders.orders.service import OrderService


def orders(resources: ServiceResources, unit: Unit) -> OrderService:
    """Return the use cases of orders."""
    return OrderService(
        orders=OrderRepository(unit),
        products=products(resources, unit),
        customers=customers(resources, unit),
        outbox=resources.outbox(unit),
    )


Orders = Annotated[OrderService, use_case(orders)]
