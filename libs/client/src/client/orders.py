"""Orders and their life cycle."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict

from client.calls import Calls, if_match, key_header, params_of
from client.shapes import ActorKind, Answer, Body, CountedPage, Known, Money
from client.tokens import Token


class OrderStatus(StrEnum):
    """Where an order stands in its life cycle."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Address(Body):
    """A shipping address; `country` is an ISO 3166-1 alpha-2 code."""

    name: str
    line1: str
    line2: str | None = None
    city: str
    postal_code: str
    country: str


class OrderAddress(Address):
    """The shipping address of an order. A member that a newer server has added is ignored."""

    model_config = ConfigDict(extra="ignore")


class NewItem(Body):
    """A product to order, and its quantity."""

    product_id: UUID
    quantity: int


class NewOrder(Body):
    """The request body that places an order. It holds no prices: the server sets them."""

    items: tuple[NewItem, ...]
    shipping_address: Address


class OrderItem(Answer):
    """One line of an order. Name and price are those of the time when it was placed."""

    product_id: UUID
    name: str
    quantity: int
    unit_price: Money
    total: Money


class Order(Answer):
    """An order in its present state; `version` rises by one with every public event.

    `shipping_address` is None once the account of its customer was deleted.
    """

    id: UUID
    customer_id: UUID
    status: Known[OrderStatus]
    items: tuple[OrderItem, ...]
    total: Money
    shipping_address: OrderAddress | None
    version: int
    created_at: datetime
    updated_at: datetime


class NewTransition(Body):
    """A wanted change of the status of one order.

    With `version`, the order is changed only if this is still its version.
    """

    order_id: UUID
    to: OrderStatus
    version: int | None = None
    reason: str | None = None


class TransitionProblem(Answer):
    """Why an order was not changed, in the members of a problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str

    @property
    def name(self) -> str:
        """The last part of `type`, in kebab case."""
        return self.type.rpartition("/")[2]


class TransitionResult(Answer):
    """What became of one transition; `error` is None if the order changed.

    `status` and `version` are the order's present ones. They are None if the caller has no such
    order.
    """

    order_id: UUID
    status: Known[OrderStatus] | None
    version: int | None
    error: TransitionProblem | None


class TransitionResults(Answer):
    """What became of each transition, in the order of the request."""

    items: tuple[TransitionResult, ...]


class HistoryActor(Answer):
    """Who changed an order; `id` is None if `kind` is `system`."""

    kind: Known[ActorKind]
    id: UUID | None


class HistoryEntry(Answer):
    """One change of the status of an order; `version` and `status` are those after it."""

    version: int
    status: Known[OrderStatus]
    at: datetime
    actor: HistoryActor
    reason: str | None


class History(Answer):
    """The changes of the status of an order, the oldest first."""

    items: tuple[HistoryEntry, ...]


class OrderCalls(Calls):
    """The calls that concern orders."""

    async def place_order(
        self,
        token: Token,
        order: NewOrder,
        *,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Order:
        """Place an order and return it. A repeated key returns the order of the first call.

        Args:
            token: authenticates the customer.
            order: the items and the shipping address.
            idempotency_key: a key that the caller chooses for this order. None: a new one; then
                only the attempts of this call are one order.
            headers: further headers, e.g. `traceparent`.
        """
        sent = {**(headers or {}), **key_header(idempotency_key)}
        body = order.model_dump(mode="json", exclude_none=True)
        return await self.call(Order, "POST", "/orders", token=token, headers=sent, json=body)

    async def get_order(self, token: Token, order_id: UUID) -> Order:
        """Return an order in its present state."""
        return await self.call(Order, "GET", f"/orders/{order_id}", token=token)

    async def list_orders(
        self,
        token: Token,
        *,
        status: OrderStatus | str | None = None,
        customer_id: UUID | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        total: bool = False,
        limit: int = 20,
        cursor: str | None = None,
    ) -> CountedPage[Order]:
        """Return one page of the caller's orders, newest first (`orders:read-all`: of all orders).

        Args:
            token: authenticates the call.
            status: only orders with this status.
            customer_id: only orders of this customer.
            created_after: only orders that were placed after this time.
            created_before: only orders that were placed before this time.
            total: whether to count the orders on all pages; only then the page has a `total`.
            limit: the size of the page.
            cursor: `next_cursor` of the page before.
        """
        params = params_of(
            status=status,
            customer_id=customer_id,
            created_after=created_after,
            created_before=created_before,
            total=total or None,
            limit=limit,
            cursor=cursor,
        )
        return await self.call(CountedPage[Order], "GET", "/orders", token=token, params=params)

    async def cancel_order(
        self,
        token: Token,
        order_id: UUID,
        *,
        reason: str | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Cancel an order that is not shipped, and return it; its stock can be sold again.

        The arguments of every transition:

        Args:
            token: authenticates the call.
            order_id: the order.
            reason: why; the order's history keeps it.
            version: change only if this is still the order's version; None: in any case.
            idempotency_key: None: a new one. A repeated key returns what the first call returned.
        """
        return await self._advance(
            token, order_id, "cancel", reason=reason, version=version, key=idempotency_key
        )

    async def confirm_order(
        self,
        token: Token,
        order_id: UUID,
        *,
        reason: str | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Confirm a placed order, and return it (scope `orders:fulfil`)."""
        return await self._advance(
            token, order_id, "confirm", reason=reason, version=version, key=idempotency_key
        )

    async def ship_order(
        self,
        token: Token,
        order_id: UUID,
        *,
        reason: str | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Ship a confirmed order, and return it (scope `orders:fulfil`)."""
        return await self._advance(
            token, order_id, "ship", reason=reason, version=version, key=idempotency_key
        )

    async def deliver_order(
        self,
        token: Token,
        order_id: UUID,
        *,
        reason: str | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Record that a shipped order was delivered, and return it (scope `orders:fulfil`)."""
        return await self._advance(
            token, order_id, "deliver", reason=reason, version=version, key=idempotency_key
        )

    async def refund_order(
        self,
        token: Token,
        order_id: UUID,
        *,
        reason: str | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Refund a delivered order, and return it (scope `orders:fulfil`)."""
        return await self._advance(
            token, order_id, "refund", reason=reason, version=version, key=idempotency_key
        )

    async def transition_orders(
        self,
        token: Token,
        transitions: Sequence[NewTransition],
        *,
        idempotency_key: str | None = None,
    ) -> tuple[TransitionResult, ...]:
        """Change the status of up to 100 orders; return a result for each (scope `orders:fulfil`).

        An order that can't be changed has an `error` in its result. The others are changed.
        `idempotency_key` is as in `cancel_order`.
        """
        items = [item.model_dump(mode="json", exclude_none=True) for item in transitions]
        results = await self.call(
            TransitionResults,
            "POST",
            "/orders/transitions",
            token=token,
            headers=key_header(idempotency_key),
            json={"items": items},
        )
        return results.items

    async def order_history(self, token: Token, order_id: UUID) -> tuple[HistoryEntry, ...]:
        """Return who changed the status of an order, when and why; the oldest change first."""
        path = f"/orders/{order_id}/history"
        return (await self.call(History, "GET", path, token=token)).items

    async def _advance(
        self,
        token: Token,
        order_id: UUID,
        verb: str,
        *,
        reason: str | None,
        version: int | None,
        key: str | None,
    ) -> Order:
        body = None if reason is None else {"reason": reason}
        path = f"/orders/{order_id}/{verb}"
        headers = key_header(key) | if_match(version)
        return await self.call(Order, "POST", path, token=token, headers=headers, json=body)
