"""The use cases that change the status of orders."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from chassis.actor import Actor
from chassis.database.unit import Unit
from chassis.errors import DomainError, PreconditionFailed
from chassis.messaging import Outbox
from contracts.orders import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderRefunded,
    OrderShipped,
)
from orders.catalog.service import ProductService, money_data
from orders.orders.models import (
    TRANSITIONS,
    OrderHistoryEntry,
    OrderMetrics,
    OrderRecord,
    OrderStatus,
)
from orders.orders.service import OrderService, order_not_found, repeated_ids
from orders.transitions.errors import DuplicateOrder, InvalidTransition
from orders.transitions.models import (
    Cause,
    Change,
    ChangedOrder,
    OpenOrder,
    OrderWithHistory,
    Outcome,
    ReadOrder,
)
from orders.transitions.repository import TransitionRepository

log = structlog.get_logger(__name__)


class TransitionService:
    """Changes of the status of orders, in one transaction.

    Args:
        transitions: the repository.
        products: the use cases of products, which take stock back.
        outbox: stores the events to publish.
        unit: the transaction.
        metrics: counts the changes.
    """

    def __init__(
        self,
        *,
        transitions: TransitionRepository,
        products: ProductService,
        outbox: Outbox,
        unit: Unit,
        metrics: OrderMetrics,
    ) -> None:
        self._unit = unit
        self._metrics = metrics
        self._transitions = transitions
        self._products = products
        self._outbox = outbox

    async def advance(
        self, change: Change, *, by: Actor, customer_id: UUID | None = None
    ) -> OrderRecord:
        """Change the status of one order, and return the order.

        Args:
            change: the wanted change.
            by: who wants it.
            customer_id: the customer whose order it must be; None accepts anybody's.

        Raises:
            OrderNotFound: the order does not exist, or belongs to another customer.
            PreconditionFailed: the order has a version that the caller does not expect.
            InvalidTransition: the status of the order does not allow the change.
        """
        found = await self._found(change, customer_id=customer_id)
        [outcome] = await self._advance([change], found, by=by)
        if outcome.error is not None or outcome.order is None:
            raise outcome.error or order_not_found(change.order_id)
        return outcome.order

    async def advance_all(
        self, changes: Sequence[Change], *, by: Actor, customer_id: UUID | None = None
    ) -> list[Outcome]:
        """Change the status of several orders, each that allows it; return the outcome of each.

        It locks all orders, in the order of their ids, before it locks a product. So it waits for
        no transaction that waits for it.

        Args:
            changes: the wanted changes.
            by: who wants them.
            customer_id: the customer whose orders they must be; None accepts anybody's.

        Raises:
            DuplicateOrder: more than one change names the same order.
        """
        _refuse_duplicates(changes)
        found = await self._transitions.lock(
            [change.order_id for change in changes], customer_id=customer_id
        )
        return await self._advance(changes, found, by=by)

    async def _found(self, change: Change, *, customer_id: UUID | None) -> Mapping[UUID, ReadOrder]:
        """Return the order by id, locked if products are to be locked after it."""
        rule = TRANSITIONS.get(change.to)
        if rule is not None and not rule.returns_stock:
            ahead = await self._transitions.read_ahead(change.order_id, customer_id=customer_id)
            if ahead is not None:
                return ahead
        return await self._transitions.lock([change.order_id], customer_id=customer_id)

    async def _advance(
        self, changes: Sequence[Change], found: Mapping[UUID, ReadOrder], *, by: Actor
    ) -> list[Outcome]:
        outcomes = [_outcome(change, found.get(change.order_id)) for change in changes]
        changed = [
            (outcome.order, outcome.change)
            for outcome in outcomes
            if outcome.order is not None and outcome.error is None
        ]
        if changed:
            await self._write(changed, by=by)
        return outcomes

    async def history(
        self, order_id: UUID, *, customer_id: UUID | None
    ) -> Sequence[OrderHistoryEntry]:
        """Return the history of an order, oldest first.

        Args:
            order_id: the order.
            customer_id: the customer whose order it must be; None accepts anybody's.

        Raises:
            OrderNotFound: the order does not exist, or belongs to another customer.
        """
        history = await self._transitions.history(order_id, customer_id=customer_id)
        if history is None:
            raise order_not_found(order_id)
        return history

    async def unconfirmed(self, *, within: timedelta, limit: int) -> Sequence[OpenOrder]:
        """Return orders that were placed longer ago than `within` and not confirmed, oldest first.

        They are not locked, so each may change before it is cancelled: pass its version.
        """
        return await self._transitions.unconfirmed(within=within, limit=limit)

    async def open_of_inactive(self, customer_id: UUID, *, limit: int) -> Sequence[OpenOrder]:
        """Return open orders of a customer; none if the customer is active. They are not locked."""
        return await self._transitions.open_of_inactive(customer_id, limit=limit)

    async def anonymise(self, customer_id: UUID, *, limit: int) -> int:
        """Erase the personal data from orders of a deleted account; return how many orders had any.

        If the account is not deleted, nothing is erased.
        """
        return await self._transitions.anonymise(customer_id, limit=limit)

    async def _write(self, changed: Sequence[tuple[OrderRecord, Change]], *, by: Actor) -> None:
        self._transitions.advance(
            [self._changed(order, change, _cause(order, change, by)) for order, change in changed],
            by=by,
        )
        returned = Counter[UUID]()
        for order, change in changed:
            if TRANSITIONS[change.to].returns_stock:
                for line in order.items:
                    returned[line.product_id] += line.quantity
        if returned:
            await self._products.release(returned)
        self._unit.after_commit(lambda: self._note([order for order, _ in changed]))

    def _changed(self, order: OrderRecord, change: Change, cause: Cause | None) -> ChangedOrder:
        event = self._outbox.row(_event(order, cause))
        return ChangedOrder(order=order, reason=change.reason or cause, event=event)

    def _note(self, changed: Sequence[OrderRecord]) -> None:
        for order in changed:
            self._metrics.changed(order.status)
            log.info(
                "order changed",
                order_id=str(order.id),
                status=order.status.value,
                version=order.version,
            )


async def order_export(
    orders: OrderService, transitions: TransitionRepository, customer_id: UUID
) -> AsyncIterator[OrderWithHistory]:
    """Yield all orders of a customer, newest first, for the export of their data."""
    async for page in orders.pages_of(customer_id):
        histories = await transitions.histories([order.id for order in page])
        for order in page:
            yield OrderWithHistory(order=order, history=histories.get(order.id, ()))


def _refuse_duplicates(changes: Sequence[Change]) -> None:
    if errors := repeated_ids((change.order_id for change in changes), noun="order"):
        message = (
            "More than one item names the same order. Send one request for each of its transitions."
        )
        raise DuplicateOrder(message, errors=errors)


def _outcome(change: Change, found: ReadOrder | None) -> Outcome:
    if found is None:
        return Outcome(change=change, order=None, error=order_not_found(change.order_id))
    error = _refusal(change, found.order)
    order = found.order if error else found.changed_to(change.to)
    return Outcome(change=change, order=order, error=error)


def _refusal(change: Change, order: OrderRecord) -> DomainError | None:
    try:
        change.expected.check(order.version)
    except PreconditionFailed as error:
        return error
    rule = TRANSITIONS.get(change.to)
    sources = () if rule is None else rule.sources
    if order.status in sources:
        return None
    allowed = f"Only {' or '.join(sources)} orders can" if sources else "No order can"
    message = (
        f"Order {order.id} is {order.status} and can't become {change.to}. {allowed}. Read the "
        "order, and choose a transition that its status allows."
    )
    return InvalidTransition(message, extra={"from": order.status, "to": change.to.value})


def _cause(order: OrderRecord, change: Change, by: Actor) -> Cause | None:
    """Return why an order is cancelled; None for another transition."""
    if change.to is not OrderStatus.CANCELLED:
        return None
    own = Cause.CUSTOMER if by.user_id == order.customer_id else Cause.SUPPORT
    return change.cause or own


def _event(order: OrderRecord, cause: Cause | None) -> OrderEvent:
    version, order_id, customer_id, at = (
        order.version,
        order.id,
        order.customer_id,
        order.updated_at,
    )
    match order.status:
        case OrderStatus.CONFIRMED:
            return OrderConfirmed(
                version=version, order_id=order_id, customer_id=customer_id, confirmed_at=at
            )
        case OrderStatus.SHIPPED:
            return OrderShipped(
                version=version, order_id=order_id, customer_id=customer_id, shipped_at=at
            )
        case OrderStatus.DELIVERED:
            return OrderDelivered(
                version=version, order_id=order_id, customer_id=customer_id, delivered_at=at
            )
        case OrderStatus.REFUNDED:
            return OrderRefunded(
                version=version,
                order_id=order_id,
                customer_id=customer_id,
                amount=money_data(order.total),
                refunded_at=at,
            )
        case OrderStatus.CANCELLED if cause is not None:
            return OrderCancelled(
                version=version,
                order_id=order_id,
                customer_id=customer_id,
                reason=cause,
                cancelled_at=at,
            )
        case other:
            message = f"no transition leads to {other}, so no event announces it"
            raise ValueError(message)
