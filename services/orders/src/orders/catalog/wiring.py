"""Construct the use cases of products for one transaction."""

from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from orders.catalog.repository import ProductRepository
from orders.catalog.service import ProductService


def products(resources: ServiceResources, unit: Unit) -> ProductService:
    """Return the use cases of products."""
    return ProductService(
        products=ProductRepository(unit),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
    )


Products = Annotated[ProductService, use_case(products)]
