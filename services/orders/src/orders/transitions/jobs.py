"""Jobs that cancel orders: those not confirmed in time, and those of accounts that ended.

Each order is cancelled in a transaction of its own, so that no job holds many orders and products.
The orders are found without a lock. The use case locks each one and checks it again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from chassis.actor import SYSTEM
from chassis.database.unit import Unit
from chassis.errors import PreconditionFailed
from chassis.http.idempotency import erase_stored_responses
from chassis.jobs import OutsideRun
from chassis.messaging import erase_parked
from chassis.versions import Expected
from orders.customers.models import CloseAccountOrders
from orders.customers.wiring import customers
from orders.orders.models import OrderStatus
from orders.resources import OrdersResources, WorkerResources
from orders.transitions.errors import InvalidTransition
from orders.transitions.models import CancelUnconfirmed, Cause, Change, OpenOrder
from orders.transitions.wiring import transitions

_PAGE = 100

log = structlog.get_logger(__name__)


async def cancel_unconfirmed(_: CancelUnconfirmed, run: OutsideRun[WorkerResources]) -> None:
    """Cancel the orders that were not confirmed in time, the oldest first."""
    resources = run.resources
    while True:
        async with resources.database.transaction() as unit:
            found = await transitions(resources, unit).unconfirmed(
                within=resources.confirm_within, limit=_PAGE
            )
        for order in found:
            # A version that is still the same means that nobody has confirmed the order since.
            change = Change(
                order_id=order.order_id,
                to=OrderStatus.CANCELLED,
                expected=Expected(among=frozenset({order.version})),
                cause=Cause.NOT_CONFIRMED,
            )
            async with _cancelling(resources, change) as unit:
                await transitions(resources, unit).advance(change, by=SYSTEM)
        if len(found) < _PAGE:
            return


async def close_account_orders(
    arguments: CloseAccountOrders, run: OutsideRun[OrdersResources]
) -> None:
    """Cancel a customer's open orders; if the account is deleted, also erase personal data."""
    resources, customer_id = run.resources, arguments.customer_id
    found = await _open_orders(resources, customer_id)
    while found:
        for order in found:
            await _close(resources, customer_id, order)
        found = await _open_orders(resources, customer_id)
    await _erase(resources, customer_id)


async def _open_orders(resources: OrdersResources, customer_id: UUID) -> Sequence[OpenOrder]:
    async with resources.database.transaction() as unit:
        return await transitions(resources, unit).open_of_inactive(customer_id, limit=_PAGE)


async def _close(resources: OrdersResources, customer_id: UUID, order: OpenOrder) -> None:
    change = Change(
        order_id=order.order_id, to=OrderStatus.CANCELLED, cause=Cause.CUSTOMER_INACTIVE
    )
    async with _cancelling(resources, change) as unit:
        # The account may be active again. Its row is locked before the order, as in placing one.
        if not await customers(resources, unit).is_active(customer_id):
            await transitions(resources, unit).advance(change, by=SYSTEM)


@asynccontextmanager
async def _cancelling(resources: OrdersResources, change: Change) -> AsyncIterator[Unit]:
    """Open a transaction; an order that somebody changed after it was found is left as it is."""
    try:
        async with resources.database.transaction() as unit:
            yield unit
    except (PreconditionFailed, InvalidTransition) as error:
        log.info("order changed, not cancelled", order_id=str(change.order_id), why=error.name)


async def _erase(resources: OrdersResources, customer_id: UUID) -> None:
    while True:
        async with resources.database.transaction() as unit:
            orders = await transitions(resources, unit).anonymise(customer_id, limit=_PAGE)
        if orders < _PAGE:
            break
    # Last: a response with the address is stored in a transaction that holds the order's lock.
    async with resources.database.transaction() as unit:
        if await customers(resources, unit).is_deleted(customer_id):
            await erase_stored_responses(unit, caller=customer_id)
            await erase_parked(unit, consumer=resources.service, key=str(customer_id))
