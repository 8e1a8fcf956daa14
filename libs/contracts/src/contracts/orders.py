"""The contract of the orders service: orders, and the stock of products."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Money, Part, Topic, VersionedEvent

ORDERS = Topic(
    name="slipway.orders",
    producer="orders",
    key="the id of the order, or of the product",
    partitions=6,
    retention=timedelta(days=3),
    personal_data=True,
)


class OrderLine(Part):
    """One product of an order, at the price that was agreed."""

    product_id: UUID
    name: str
    quantity: int
    unit_price: Money


class OrderEvent(VersionedEvent):
    """Something that happened to an order."""

    topic: ClassVar[Topic] = ORDERS

    order_id: UUID
    customer_id: UUID

    @property
    def subject(self) -> str:
        """The order's id."""
        return str(self.order_id)


class OrderPlaced(OrderEvent):
    """A customer placed an order, and its stock is reserved."""

    type: ClassVar[str] = "order.placed.v1"

    items: list[OrderLine]
    total: Money
    placed_at: AwareDatetime


class OrderConfirmed(OrderEvent):
    """The order was accepted, and is prepared for shipping."""

    type: ClassVar[str] = "order.confirmed.v1"

    confirmed_at: AwareDatetime


class OrderShipped(OrderEvent):
    """The order is on its way."""

    type: ClassVar[str] = "order.shipped.v1"

    shipped_at: AwareDatetime


class OrderDelivered(OrderEvent):
    """The order has arrived."""

    type: ClassVar[str] = "order.delivered.v1"

    delivered_at: AwareDatetime


class OrderCancelled(OrderEvent):
    """The order ended before it was shipped; its stock can be sold again."""

    type: ClassVar[str] = "order.cancelled.v1"

    reason: str = Field(
        description="`customer`, `support`, `not_confirmed` (in time) or `customer_inactive`; "
        "others may come."
    )
    cancelled_at: AwareDatetime


class OrderRefunded(OrderEvent):
    """The customer got the money back; no stock returns."""

    type: ClassVar[str] = "order.refunded.v1"

    amount: Money
    refunded_at: AwareDatetime


class OrderSnapshot(OrderEvent):
    """The present state of an order, published by a replay, with the version of its last event.

    A consumer that knows the same or a higher version ignores it.
    """

    type: ClassVar[str] = "order.snapshot.v1"
    snapshot: ClassVar[bool] = True

    status: str = Field(
        description="`placed`, `confirmed`, `shipped`, `delivered`, `cancelled` or `refunded`; "
        "others may come."
    )
    items: list[OrderLine]
    total: Money
    placed_at: AwareDatetime
    updated_at: AwareDatetime


class ProductEvent(VersionedEvent):
    """Something that happened to a product."""

    topic: ClassVar[Topic] = ORDERS

    product_id: UUID
    sku: str
    stock: int

    @property
    def subject(self) -> str:
        """The product's id."""
        return str(self.product_id)


class ProductStockChanged(ProductEvent):
    """The stock that can still be sold changed; the first such event announces the product.

    Only that first one has the product's other facts. ``product.updated.v1`` announces changes of
    them.
    """

    type: ClassVar[str] = "product.stock_changed.v1"

    name: str | None = None
    description: str | None = None
    price: Money | None = None
    active: bool | None = Field(
        default=None, description="False: it is not listed and can't be ordered."
    )


class ProductUpdated(ProductEvent):
    """Somebody changed the name, description or price of a product, or whether it is sold."""

    type: ClassVar[str] = "product.updated.v1"

    name: str
    description: str
    price: Money
    active: bool = Field(description="False: it is not listed and can't be ordered.")


class ProductSnapshot(ProductEvent):
    """The present state of a product, as far as events announce it, published by a replay.

    The version is that of its last event. A consumer that knows the same or a higher version
    ignores it. So it contains nothing that can change without an event.
    """

    type: ClassVar[str] = "product.snapshot.v1"
    snapshot: ClassVar[bool] = True

    name: str | None = None
    description: str | None = None
    price: Money | None = None
    active: bool | None = Field(
        default=None, description="False: it is not listed and can't be ordered."
    )
