"""Construct the use cases of customers for one transaction."""

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from orders.customers.repository import CustomerRepository
from orders.customers.service import CustomerService


def customers(resources: ServiceResources, unit: Unit) -> CustomerService:
    """Return the use cases of customers."""
    return CustomerService(customers=CustomerRepository(unit), jobs=resources.jobs(unit))
