"""Construct the use cases of stock for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from orders.catalog.wiring import products
from orders.stock.repository import StockHistory
from orders.stock.service import StockService


def stock(resources: ServiceResources, unit: Unit) -> StockService:
    """Return the use cases of stock."""
    return StockService(products=products(resources, unit), history=StockHistory(unit))


Stock = Annotated[StockService, use_case(stock)]
