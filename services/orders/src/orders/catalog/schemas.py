"""What products look like in HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from chassis.http import Id, Name, PageQuery, Shape
from orders.catalog import models
from orders.catalog.models import CURRENCY, MAX_AMOUNT, MAX_IDS, MAX_STOCK, ProductChanges


class Money(Shape):
    """An amount in minor units: 1999 EUR are 19.99 €."""

    amount: int
    currency: Annotated[str, Field(pattern=CURRENCY, description="ISO 4217.")]


class Price(Money):
    """What one piece costs."""

    amount: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


Description = Annotated[str, Field(max_length=5000)]

Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="How many can be sold.")]

Active = Annotated[bool, Field(description="False: it is not listed and can't be ordered.")]


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
    description: Description
    price: Price
    stock: Stock
    active: Active = True


class ProductPatch(Shape):
    """A JSON Merge Patch (RFC 7396) of a product: what is left out stays. Nothing can be null."""

    # Factories, so that the OpenAPI document shows no defaults: an omitted member changes nothing.
    name: Name = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    price: Price = Field(
        default_factory=lambda: Price(amount=0, currency="XXX"),
        description="It is replaced as a whole: give both of its members.",
    )
    active: Active = Field(default_factory=bool)


class ProductOut(Shape):
    """A product of the catalogue."""

    id: Id
    sku: str
    name: str
    description: str
    price: Money
    stock: Annotated[int, Field(description="How many can still be sold.")]
    active: Active
    version: Annotated[int, Field(description="Rises by one with each change; also the ETag.")]
    created_at: datetime
    updated_at: datetime


def _searchable(text: str) -> str:
    # Bytes that are no UTF-8, as those of a lone surrogate, arrive as U+FFFD.
    if "\N{REPLACEMENT CHARACTER}" in text:
        message = "must be UTF-8, without the character U+FFFD"
        raise ValueError(message)
    return text


class ProductQuery(PageQuery):
    """Which products to list."""

    q: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Only products with all these words in their name or SKU, in any order, "
            "case and Unicode form (NFKC). A word also finds those that begin with it: `lan` finds "
            "`Lantern`. Punctuation separates words and is not searched for: `A-1` are the words "
            "`A` and `1`. Without any word nothing is found; an empty text finds all.",
        ),
        AfterValidator(_searchable),
    ] = None
    ids: Annotated[
        list[UUID] | None,
        Field(
            min_length=1,
            max_length=MAX_IDS,
            description=f"Only these products, also inactive ones; up to {MAX_IDS}. Repeat the "
            "parameter for each id. Ids of no product are left out. The page has `limit` products "
            "at most, so ask for as many as there are ids.",
        ),
    ] = None


def changes_in(patch: ProductPatch) -> ProductChanges:
    """Return the facts that a patch names."""
    changes: ProductChanges = {}
    given = patch.model_fields_set
    if "name" in given:
        changes["name"] = patch.name
    if "description" in given:
        changes["description"] = patch.description
    if "price" in given:
        changes["price"] = models.Money(patch.price.amount, patch.price.currency)
    if "active" in given:
        changes["active"] = patch.active
    return changes
