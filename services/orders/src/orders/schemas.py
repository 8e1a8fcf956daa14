"""What orders look like in HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from chassis.http import Id, Name, PageQuery, Shape
from chassis.http.shapes import Moment
from orders.catalog.schemas import Money
from orders.models import COUNTRIES, MAX_LINES, MAX_QUANTITY, OrderStatus
from orders.repository import OrderFilter

Status = Annotated[OrderStatus, Field(strict=False)]


def _country(code: str) -> str:
    if code not in COUNTRIES:
        message = "must be a country's code of ISO 3166-1 alpha-2, in upper case"
        raise ValueError(message)
    return code


Country = Annotated[
    str,
    AfterValidator(_country),
    Field(
        pattern=r"^[A-Z]{2}$",
        description="ISO 3166-1 alpha-2.",
        json_schema_extra={"enum": sorted(COUNTRIES)},
    ),
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
        Field(min_length=1, max_length=MAX_LINES, description="Each product once."),
    ]
    shipping_address: Address


class Item(Shape):
    """One line of an order, by the name and at the price that the product had then."""

    product_id: Id
    name: str
    quantity: int
    unit_price: Money


class OrderOut(Shape):
    """An order."""

    id: Id
    status: Status
    items: list[Item]
    total: Money
    shipping_address: Address
    version: Annotated[int, Field(description="Rises by one with each change.")]
    created_at: datetime
    updated_at: datetime


class OrderQuery(PageQuery):
    """Which of the caller's orders to list."""

    status: Annotated[OrderStatus | None, Field(description="Only orders that stand here.")] = None
    created_after: Annotated[Moment | None, Field(description="Only orders placed later.")] = None
    created_before: Annotated[Moment | None, Field(description="Only orders placed earlier.")] = (
        None
    )

    def filter(self) -> OrderFilter:
        """Give the filter as the use case takes it."""
        return OrderFilter(
            status=self.status,
            created_after=self.created_after,
            created_before=self.created_before,
        )
