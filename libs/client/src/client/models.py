"""The shapes that the API takes and answers.

Answers ignore fields that they don't know, so that a newer server doesn't break an older client.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Money(_Answer):
    """An amount in the minor unit of its currency (1999 EUR is 19.99 €)."""

    amount: int
    currency: str


class User(_Answer):
    """An account as its owner or an admin sees it."""

    id: UUID
    email: str
    full_name: str
    roles: tuple[str, ...] = ()


class Tokens(_Answer):
    """What a log-in answers; `expires_in` is in seconds."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: str
    expires_in: int
    scope: str = ""


class Product(_Answer):
    """One entry of the catalogue; `stock` is what is available to sell."""

    id: UUID
    sku: str
    name: str
    description: str = ""
    price: Money
    stock: int


class NewProduct(_Body):
    """The body that creates a product."""

    sku: str
    name: str
    description: str
    price: Money
    stock: int


class OrderItem(_Answer):
    """How many of which product."""

    product_id: UUID
    quantity: int


class Address(_Body):
    """Where an order goes; `country` is an ISO 3166-1 alpha-2 code."""

    name: str
    line1: str
    line2: str | None = None
    city: str
    postal_code: str
    country: str


class NewOrder(_Body):
    """The body that places an order. Prices come from the server."""

    items: tuple[OrderItem, ...]
    shipping_address: Address


class Order(_Answer):
    """An order in its present state; `version` rises by one with every public event."""

    id: UUID
    status: str
    items: tuple[OrderItem, ...]
    total: Money
    version: int
    created_at: datetime
    updated_at: datetime


class Notification(_Answer):
    """One message to the user; `event_id` is its place in the user's feed."""

    id: UUID
    event_id: int
    type: str
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None = None


class Page[Item](_Answer):
    """One page of a list; `next_cursor` is None on the last one."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


class FeedItem(_Answer):
    """One item of the live feed.

    `reset` says that what came before `last_event_id` is not kept any more: read the lists again.
    """

    type: Literal["notification", "order", "reset"]
    event_id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class FieldError(_Answer):
    """One part of a request that was wrong.

    Where it is: `pointer` is a JSON pointer (RFC 6901) into the body; otherwise `parameter` or
    `header` names it.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.pointer or self.parameter or self.header or "request"
