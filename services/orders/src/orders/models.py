"""The tables of orders and their lines, and what an order is made of."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from sqlalchemy import CHAR, BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, composite, mapped_column, relationship

from chassis.database import Timestamped
from orders.catalog.models import Money, Product
from orders.customers.models import Customer
from orders.metadata import Base

MAX_LINES = 50
MAX_QUANTITY = 1000

# ISO 3166-1 alpha-2, the officially assigned ones.
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


class ShippingAddress(TypedDict):
    """Where an order goes, as it was when the order was placed."""

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


class Order(Base, Timestamped):
    """What a customer bought.

    ``version`` is 1 when placed and rises by one with each public event of the order.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status_known"),
        CheckConstraint("total_amount >= 0", name="total_not_negative"),
        CheckConstraint("total_currency ~ '^[A-Z]{3}$'", name="currency_format"),
        CheckConstraint("version >= 1", name="version_from_one"),
        # The order of a customer's own list.
        Index("ix_orders_customer_id_created_at_id", "customer_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey(Customer.id))
    status: Mapped[str] = mapped_column(Text)
    total: Mapped[Money] = composite(
        mapped_column("total_amount", BigInteger), mapped_column("total_currency", CHAR(3))
    )
    # Written and read whole, and never searched: one value rather than six columns.
    shipping_address: Mapped[ShippingAddress] = mapped_column(JSONB)
    version: Mapped[int]
    items: Mapped[list["OrderLine"]] = relationship(
        lazy="raise", order_by="OrderLine.position", passive_deletes=True
    )


class OrderLine(Base, Timestamped):
    """One product of an order, by the name and at the price that it had then."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("unit_price_amount >= 0", name="unit_price_not_negative"),
        CheckConstraint("unit_price_currency ~ '^[A-Z]{3}$'", name="currency_format"),
    )

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey(Order.id, ondelete="CASCADE"), primary_key=True
    )
    product_id: Mapped[UUID] = mapped_column(ForeignKey(Product.id), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int]
    unit_price: Mapped[Money] = composite(
        mapped_column("unit_price_amount", BigInteger),
        mapped_column("unit_price_currency", CHAR(3)),
    )
