"""What products look like in HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from chassis.http import Id, Name, PageQuery, Shape
from orders.catalog.models import MAX_AMOUNT, MAX_STOCK

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]


class Money(Shape):
    """An amount in minor units: 1999 EUR are 19.99 €."""

    amount: int
    currency: Currency


class Price(Money):
    """What one piece costs."""

    amount: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


class NewProduct(Shape):
    """A product to put into the catalogue."""

    sku: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[!-~]+$",
            description="Unique; printable ASCII without spaces; case matters.",
        ),
    ]
    name: Name
    description: Annotated[str, Field(max_length=5000)]
    price: Price
    stock: Annotated[int, Field(ge=0, le=MAX_STOCK, description="How many can be sold.")]


class ProductOut(Shape):
    """A product of the catalogue."""

    id: Id
    sku: str
    name: str
    description: str
    price: Money
    stock: Annotated[int, Field(description="How many can still be sold.")]
    version: Annotated[int, Field(description="Rises by one with each change.")]
    created_at: datetime
    updated_at: datetime


class ProductQuery(PageQuery):
    """Which products to list."""

    q: Annotated[
        str | None,
        Field(max_length=100, description="Only products with this text in their name or SKU."),
    ] = None
