"""What the orders service announces: orders, and the stock of products."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.base import Event, Money, Topic

ORDERS = Topic(
    name="slipway.orders",
    producer="orders",
    key="the id of the order, or of the product",
    partitions=6,
    retention=timedelta(days=3),
)


class OrderLine(BaseModel):
    """One product of an order, at the price that was agreed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    product_id: UUID
    name: str
    quantity: int
    unit_price: Money


class OrderPlaced(Event):
    """A customer placed an order, and its stock is reserved."""

    type: ClassVar[str] = "order.placed.v1"
    topic: ClassVar[Topic] = ORDERS

    order_id: UUID
    customer_id: UUID
    items: list[OrderLine]
    total: Money
    placed_at: datetime

    @property
    def subject(self) -> str:
        """The order's id."""
        return str(self.order_id)


class ProductStockChanged(Event):
    """The stock that can still be sold changed; the first one tells of a new product."""

    type: ClassVar[str] = "product.stock_changed.v1"
    topic: ClassVar[Topic] = ORDERS

    product_id: UUID
    sku: str
    stock: int

    @property
    def subject(self) -> str:
        """The product's id."""
        return str(self.product_id)
