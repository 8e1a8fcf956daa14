"""The request and response bodies of orders."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from chassis.http import CountedPageQuery, Id, Name, Shape
from chassis.times import Moment
from orders.catalog.schemas import Money
from orders.orders.models import COUNTRIES, MAX_LINES, MAX_QUANTITY, OrderStatus
from orders.orders.repository import OrderFilter

Status = Annotated[OrderStatus, Field(strict=False)]


def _country(code: str) -> str:
    if code not in COUNTRIES:
        message = "must be a country code of ISO 3166-1 alpha-2 in upper case, such as DE"
        raise ValueError(message)
    return code


Country = Annotated[
    str,
    Field(
        pattern=r"^[A-Z]{2}$",
        description="ISO 3166-1 alpha-2.",
        json_schema_extra={"enum": sorted(COUNTRIES)},
    ),
    AfterValidator(_country),  # last: the schema omits constraints that follow a validator
]


class Address(Shape):
    """Where an order goes."""

    name: Name
    line1: Name
    line2: Name | None = None
    city: Name
    postal_code: Annotated[str, Field(min_length=1, max_length=20)]
    country: Country


class NewItem(Shape):
    """How many of which product."""

    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class NewOrder(Shape):
    """An order to place; prices come from the catalogue."""

    items: Annotated[
        list[NewItem],
        Field(
            min_length=1,
            max_length=MAX_LINES,
            description="Each product once: a second item of a product is refused with 422 "
            "`duplicate-product`, and not merged.",
        ),
    ]
    shipping_address: Address


class Item(Shape):
    """One line of an order, by the name and at the price that the product had then."""

    product_id: Id
    name: str
    quantity: int
    unit_price: Money
    total: Annotated[Money, Field(description="The unit price times the quantity.")]


class OrderOut(Shape):
    """An order."""

    id: Id
    customer_id: Id
    status: Status
    items: list[Item]
    total: Annotated[Money, Field(description="The sum of the items' totals.")]
    shipping_address: Annotated[
        Address | None, Field(description="null: the customer's account was deleted.")
    ]
    version: Annotated[int, Field(description="Rises by one with each change.")]
    created_at: datetime
    updated_at: datetime


class OrderQuery(CountedPageQuery):
    """Which orders to list."""

    customer_id: Annotated[
        Id | None,
        Field(
            description="Only orders of this customer. Another customer than the caller needs the "
            "scope `orders:read-all`."
        ),
    ] = None

    status: Annotated[OrderStatus | None, Field(description="Only orders that stand here.")] = None
    created_after: Annotated[Moment | None, Field(description="Only orders placed later.")] = None
    created_before: Annotated[Moment | None, Field(description="Only orders placed earlier.")] = (
        None
    )

    def filter(self, customer_id: UUID | None) -> OrderFilter:
        """Return the filter that the use case accepts, for one customer or for all."""
        return OrderFilter(
            customer_id=customer_id,
            status=self.status,
            created_after=self.created_after,
            created_before=self.created_before,
        )
