"""The composition root: what each process holds, and what each transaction gets of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.http import SessionDep
from chassis.messaging import Outbox
from chassis.process import Process
from chassis.wiring import ServiceResources, open_service
from contracts.users import SessionRevoked
from orders.catalog.repository import ProductRepository
from orders.catalog.service import ProductService
from orders.customers.repository import CustomerRepository
from orders.customers.service import CustomerService
from orders.repository import OrderRepository
from orders.service import OrderService
from orders.settings import OrdersSettings

SERVICE = "orders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(ServiceResources):
    """What each process of this service holds."""

    def products(self, session: AsyncSession, outbox: Outbox | None = None) -> ProductService:
        """Put the use cases on products together for one transaction."""
        return ProductService(
            products=ProductRepository(session), outbox=outbox or self.outbox(session)
        )

    def customers(self, session: AsyncSession) -> CustomerService:
        """Put the use cases on customers together for one transaction."""
        return CustomerService(customers=CustomerRepository(session))

    def orders(self, session: AsyncSession) -> OrderService:
        """Put the use cases on orders together for one transaction, with one outbox."""
        outbox = self.outbox(session)
        return OrderService(
            orders=OrderRepository(session),
            products=self.products(session, outbox),
            customers=self.customers(session),
            outbox=outbox,
        )


@asynccontextmanager
async def open_resources(settings: OrdersSettings, process: Process) -> AsyncIterator[Resources]:
    """Open what a process of this service holds."""
    common_parts = open_service(settings, process, service=SERVICE, sessions=SessionRevoked)
    async with common_parts as common:
        yield Resources(
            service=common.service,
            database=common.database,
            verifier=common.verifier,
            wakeups=common.wakeups,
        )


async def resources_of(connection: HTTPConnection) -> Resources:
    """Find what the process opened."""
    resources: Resources = connection.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(resources_of)]


async def _products(resources: ResourcesDep, session: SessionDep) -> ProductService:
    return resources.products(session)


async def _orders(resources: ResourcesDep, session: SessionDep) -> OrderService:
    return resources.orders(session)


Products = Annotated[ProductService, Depends(_products)]
Orders = Annotated[OrderService, Depends(_orders)]
