"""What changes of stock look like in HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from chassis.http import Id, Shape
from orders.catalog.models import MAX_STOCK
from orders.catalog.schemas import Stock

Reason = Annotated[
    str, Field(min_length=1, max_length=200, description="Why, for people who read the history.")
]


def _not_zero(delta: int) -> int:
    if delta == 0:
        message = "must not be 0"
        raise ValueError(message)
    return delta


class NewStock(Shape):
    """A stock that was counted."""

    stock: Stock
    reason: Reason


class NewAdjustment(Shape):
    """What is added to a stock, or taken from it."""

    delta: Annotated[
        int,
        Field(
            ge=-MAX_STOCK,
            le=MAX_STOCK,
            json_schema_extra={"not": {"const": 0}},
            description="How many are added; negative: how many are taken away. Not 0.",
        ),
        AfterValidator(_not_zero),
    ]
    reason: Reason


class AdjustmentOut(Shape):
    """One change of a product's stock that was not an order."""

    id: Id
    product_id: Id
    delta: Annotated[int, Field(description="How many were added; negative: taken away.")]
    stock: Annotated[int, Field(description="The stock right after the change.")]
    reason: str
    actor_id: Annotated[
        Id | None, Field(description="The user who did it; null: the system, or unknown.")
    ]
    created_at: datetime
