"""The tables of orders, their lines and their history, and the rules of an order's life cycle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, Text, false, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chassis.database import Timestamped
from orders.catalog.models import Money, Product, money_columns, money_rules
from orders.customers.models import Customer
from orders.metadata import Base

MAX_LINES = 100
MAX_QUANTITY = 1000

# The officially assigned codes of ISO 3166-1 alpha-2.
_COUNTRIES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_COUNTRIES.split())


class OrderStatus(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


_STATUSES = ", ".join(f"'{status}'" for status in OrderStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One rule of the life cycle.

    Attributes:
        verb: what is done to the order, in the imperative.
        sources: the statuses that an order may have before.
        target: the status that it has after.
        returns_stock: whether the quantities of its lines can be sold again.
    """

    verb: str
    sources: tuple[OrderStatus, ...]
    target: OrderStatus
    returns_stock: bool = False


TRANSITIONS: Mapping[OrderStatus, Transition] = {
    rule.target: rule
    for rule in (
        Transition(verb="confirm", sources=(OrderStatus.PLACED,), target=OrderStatus.CONFIRMED),
        Transition(verb="ship", sources=(OrderStatus.CONFIRMED,), target=OrderStatus.SHIPPED),
        Transition(verb="deliver", sources=(OrderStatus.SHIPPED,), target=OrderStatus.DELIVERED),
        Transition(
            verb="cancel",
            sources=(OrderStatus.PLACED, OrderStatus.CONFIRMED),
            target=OrderStatus.CANCELLED,
            returns_stock=True,
        ),
        Transition(verb="refund", sources=(OrderStatus.DELIVERED,), target=OrderStatus.REFUNDED),
    )
}
"""All transitions, by the status that an order has after one. Every other change is refused."""

OPEN = TRANSITIONS[OrderStatus.CANCELLED].sources
"""The statuses of an order that can still be cancelled."""


def life_cycle() -> str:
    """Return the life cycle as a table in Markdown, for the API's document."""
    rows = [
        f"| {rule.verb} | {_listed(rule.sources)} | `{rule.target}` |"
        f" {'returns' if rule.returns_stock else 'stays sold'} |"
        for rule in TRANSITIONS.values()
    ]
    return "\n".join(["| transition | from | to | stock |", "|---|---|---|---|", *rows])


def _listed(statuses: tuple[OrderStatus, ...]) -> str:
    return " or ".join(f"`{status}`" for status in statuses)


class ShippingAddress(TypedDict):
    """The shipping address of an order at the time when it was placed."""

    name: str
    line1: str
    line2: str | None
    city: str
    postal_code: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLine:
    """One line of an order that is about to be placed."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRecord:
    """A line of an order as plain data; its attributes are those of ``OrderLine``."""

    product_id: UUID
    position: int
    name: str
    quantity: int
    unit_price: Money

    @property
    def total(self) -> Money:
        """The price of all pieces of the line."""
        return self.unit_price.times(self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """An order as plain data; its attributes are those of ``Order``.

    Placing an order and changing its status are the service's hot paths: an object of the ORM costs
    twenty times as much to construct.
    """

    id: UUID
    customer_id: UUID
    status: OrderStatus
    items: Sequence[LineRecord]
    total: Money
    shipping_address: ShippingAddress | None
    version: int
    created_at: datetime
    updated_at: datetime


class Order(Base, Timestamped):
    """An order of a customer.

    ``version`` is 1 when placed and rises by one with each public event of the order. ``expires``
    is true if the order is cancelled when nobody confirms it in time. It is false for orders of
    releases that could not confirm any.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status_known"),
        *money_rules("total"),
        CheckConstraint("version >= 1", name="version_from_one"),
        # For the list of a customer's orders.
        Index("ix_orders_customer_id_created_at_id", "customer_id", "created_at", "id"),
        # For the list of all orders.
        Index("ix_orders_created_at_id", "created_at", "id"),
        # For the list of all orders of one status.
        Index("ix_orders_status_created_at_id", "status", "created_at", "id"),
        # For the search for those not confirmed in time.
        Index(
            "ix_orders_expiring",
            "created_at",
            "id",
            postgresql_where=text("expires AND status = 'placed'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey(Customer.id))
    status: Mapped[str] = mapped_column(Text)
    total: Mapped[Money] = money_columns("total")
    # Always written and read whole, and never searched, so it is one value and not six columns.
    # NULL once the account of the customer was deleted.
    shipping_address: Mapped[ShippingAddress | None] = mapped_column(JSONB(none_as_null=True))
    version: Mapped[int]
    expires: Mapped[bool] = mapped_column(server_default=false())
    items: Mapped[list["OrderLine"]] = relationship(
        lazy="raise", order_by="OrderLine.position", passive_deletes=True
    )


class OrderLine(Base, Timestamped):
    """One product of an order, with its name and price at the time of the order."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        *money_rules("unit_price"),
    )

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey(Order.id, ondelete="CASCADE"), primary_key=True
    )
    product_id: Mapped[UUID] = mapped_column(ForeignKey(Product.id), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int]
    unit_price: Mapped[Money] = money_columns("unit_price")

    @property
    def total(self) -> Money:
        """The price of all pieces of the line."""
        return self.unit_price.times(self.quantity)


class OrderHistoryEntry(Base, Timestamped):
    """One change of an order's status: who made it, when and why.

    ``version`` is the order's version after the change, ``created_at`` its time. An order does not
    refer to these rows, so that reading an order never loads them.
    """

    __tablename__ = "order_history"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status_known"),
        CheckConstraint("version >= 1", name="version_from_one"),
    )

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey(Order.id, ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[UUID | None]
    reason: Mapped[str | None] = mapped_column(Text)


_MOST_CURRENCIES = 16


class OrderMetrics:
    """Counts orders and their changes. Call its methods after the commit.

    Args:
        registry: the metrics registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._placed = Counter(
            "orders_placed_total",
            "Orders that were placed.",
            registry=registry,
        )
        self._value = Counter(
            "orders_placed_value_total",
            "The value of the orders that were placed, in the smallest unit of their currency. "
            "Currencies beyond the first sixteen are counted as `other`.",
            ["currency"],
            registry=registry,
        )
        self._changed = Counter(
            "orders_changed_total",
            "Changes of the status of orders, by the new status.",
            ["status"],
            registry=registry,
        )
        self._currencies: set[str] = set()
        for status in TRANSITIONS:
            self._changed.labels(status.value)

    def placed(self, total: Money) -> None:
        """Count an order that was placed."""
        self._placed.inc()
        currency = total.currency
        # Staff may price products in any three letters.
        if currency not in self._currencies:
            if len(self._currencies) < _MOST_CURRENCIES:
                self._currencies.add(currency)
            else:
                currency = "other"
        self._value.labels(currency).inc(total.amount)

    def changed(self, status: OrderStatus) -> None:
        """Count a change of an order's status."""
        self._changed.labels(status.value).inc()
