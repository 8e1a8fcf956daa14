"""The table of products, and what an amount of money is in this service."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypedDict
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Text,
    func,
    text,
    true,
)
from sqlalchemy.orm import Composite, Mapped, composite, mapped_column

from chassis.database import Timestamped
from chassis.database.searching import search_vector
from orders.catalog.errors import AmountRangeError, CurrencyMismatchError
from orders.metadata import Base

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON has exactly (RFC 8259 §6). PostgreSQL's bigint
holds more, and JavaScript would round the rest."""

CURRENCY = "^[A-Z]{3}$"
"""The form of a currency's code (ISO 4217), as a regular expression of Python and PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units: 1999 EUR are 19.99 €.

    Raises:
        AmountRangeError: the amount is beyond ``MAX_SAFE_INTEGER``.
        ValueError: the currency is no code of ISO 4217.
    """

    amount: int
    currency: str

    def __post_init__(self) -> None:
        """Reject an amount that would not arrive as it was sent."""
        if abs(self.amount) > MAX_SAFE_INTEGER:
            message = (
                f"an amount of {self.amount} {self.currency} in minor units is beyond "
                f"{MAX_SAFE_INTEGER}, which JSON carries exactly: split it"
            )
            raise AmountRangeError(message)
        if not re.fullmatch(CURRENCY, self.currency):
            message = f"{self.currency!r} is no currency: use a code of ISO 4217, such as EUR"
            raise ValueError(message)

    def times(self, quantity: int) -> Self:
        """Return the amount of so many pieces, or raise AmountRangeError."""
        return type(self)(self.amount * quantity, self.currency)

    @classmethod
    def sum_of(cls, parts: Iterable["Money"]) -> Self:
        """Return the sum of at least one amount.

        Raises:
            AmountRangeError: the sum is beyond ``MAX_SAFE_INTEGER``.
            CurrencyMismatchError: the amounts have different currencies.
        """
        first, *rest = parts
        others = {part.currency for part in rest} - {first.currency}
        if others:
            message = (
                f"{first.currency} and {', '.join(sorted(others))} have no sum: add each alone"
            )
            raise CurrencyMismatchError(message)
        return cls(first.amount + sum(part.amount for part in rest), first.currency)


def money_columns(name: str) -> Composite[Money]:
    """Return the attribute whose value is in the columns `name`_amount and `name`_currency."""
    return composite(
        mapped_column(f"{name}_amount", BigInteger), mapped_column(f"{name}_currency", CHAR(3))
    )


def money_rules(name: str) -> tuple[CheckConstraint, ...]:
    """Return the constraints on the columns of ``money_columns``."""
    return (
        CheckConstraint(f"{name}_amount >= 0", name=f"{name}_not_negative"),
        CheckConstraint(f"{name}_currency ~ '{CURRENCY}'", name="currency_format"),
    )


MAX_AMOUNT = 10**11
"""Of one price, in minor units: a line of a thousand pieces is far below ``MAX_SAFE_INTEGER``. A
hundred such lines are above it; an order with a total beyond it is refused."""

MAX_STOCK = 10**9

MAX_IDS = 100
"""How many products one request may name by their ids; a page has no more."""


SEARCH_VECTOR = search_vector("name", "sku")
"""The words of a product, as SQL. The index has this expression, and so a query needs the same."""


class Product(Base, Timestamped):
    """Something that can be bought.

    ``stock`` is the quantity that can still be sold. An inactive product is not listed and can't be
    ordered. ``version`` starts at 1 and rises by one with each public event, and never without one.
    """

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("stock >= 0", name="stock_not_negative"),
        *money_rules("price"),
        CheckConstraint("version >= 1", name="version_from_one"),
        # The order of the list of products. Without the condition, the list would read all that
        # were sold in former years before it reached those that are sold now.
        Index(
            "ix_products_active_created_at_id",
            "created_at",
            "id",
            postgresql_where=text("active"),
        ),
        # The build before revision 0002 lists by it, and runs while that revision is applied.
        Index("ix_products_created_at_id", "created_at", "id"),
        # A change of the stock changes neither name nor SKU, so it leaves the index alone (HOT).
        Index("ix_products_search", text(SEARCH_VECTOR), postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    price: Mapped[Money] = money_columns("price")
    stock: Mapped[int]
    active: Mapped[bool] = mapped_column(server_default=true())
    version: Mapped[int]


class ProductChanges(TypedDict, total=False):
    """The facts of a product that a person can change, apart from its stock."""

    name: str
    description: str
    price: Money
    active: bool


class StockAdjustment(Base, Timestamped):
    """One change of a product's stock by a person; the first is the initial stock.

    Orders change the stock too, and have lines instead. So of each product, the sum of ``delta`` is
    the stock and the quantities in orders that were not cancelled.
    """

    __tablename__ = "stock_adjustments"
    __table_args__ = (
        CheckConstraint("delta <> 0", name="delta_not_zero"),
        CheckConstraint("stock >= 0", name="stock_not_negative"),
        # The order of the list of a product's adjustments.
        Index("ix_stock_adjustments_product_id_created_at_id", "product_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey(Product.id))
    delta: Mapped[int]
    stock: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[UUID | None]
    # Not the time of the BEGIN, as `now()`: the transaction may then have waited for the product's
    # row, and would seem older than the one that it waited for.
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp(), sort_order=900
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A product as it was when an order locked it.

    Attributes:
        active: whether it is sold at all.
        available: the stock before the order.
        stock: the stock that is left after the order; None if there was too little.
        version: the product's version after the order; None if there was too little stock.
        reserved_at: the time of the transaction that locked it, by the database's clock.
    """

    product_id: UUID
    sku: str
    name: str
    price: Money
    active: bool
    available: int
    stock: int | None
    version: int | None
    reserved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLevel:
    """The stock of a product after a change."""

    product_id: UUID
    sku: str
    stock: int
    version: int
