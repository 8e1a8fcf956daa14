"""The table of products, and what an amount of money is in this service."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import CHAR, BigInteger, CheckConstraint, Index, Text
from sqlalchemy.orm import Mapped, composite, mapped_column

from chassis.database import Timestamped
from orders.metadata import Base

MAX_AMOUNT = 10**11
"""Of one price, in minor units: fifty lines of a thousand pieces each still add up to less than
2^53, beyond which JavaScript loses digits."""

MAX_STOCK = 10**9


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units: 1999 EUR are 19.99 €."""

    amount: int
    currency: str


class Product(Base, Timestamped):
    """Something that can be bought.

    ``stock`` is what can still be sold. ``version`` is 1 at first and rises by one with each change
    of the stock, which is announced.
    """

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("stock >= 0", name="stock_not_negative"),
        CheckConstraint("price_amount >= 0", name="price_not_negative"),
        CheckConstraint("price_currency ~ '^[A-Z]{3}$'", name="currency_format"),
        CheckConstraint("version >= 1", name="version_from_one"),
        # The order of the list of products.
        Index("ix_products_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    price: Mapped[Money] = composite(
        mapped_column("price_amount", BigInteger), mapped_column("price_currency", CHAR(3))
    )
    stock: Mapped[int]
    version: Mapped[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A product as it was when an order locked it.

    Attributes:
        available: how many could be had.
        stock: how many are left once the wanted ones are taken; None where there were too few.
        version: the product's version after it; None likewise.
    """

    product_id: UUID
    sku: str
    name: str
    price: Money
    available: int
    stock: int | None
    version: int | None
