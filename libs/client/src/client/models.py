"""The models of the API's requests and responses.

Response models ignore unknown fields, so that a newer server doesn't break an older client.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel


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
    """The response to a log-in; `expires_in` is in seconds."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: str
    expires_in: int
    scope: str = ""


class ApiKey(_Answer):
    """An API key without its secret. `prefix` is its visible beginning."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class CreatedApiKey(ApiKey):
    """A new API key. Pass `api_key` in place of an access token; it can't be read again."""

    api_key: str = Field(repr=False)


class Product(_Answer):
    """One entry of the catalogue; `stock` is what is available to sell.

    An inactive product is not listed and can't be ordered. Pass `version` to a change to be sure
    that nobody changed the product since it was read.
    """

    id: UUID
    sku: str
    name: str
    description: str = ""
    price: Money
    stock: int
    active: bool = True
    version: int


class NewProduct(_Body):
    """The request body that creates a product."""

    sku: str
    name: str
    description: str
    price: Money
    stock: int
    active: bool = True


class ProductChanges(_Body):
    """The request body that changes a product: fields that are not set stay as they are."""

    name: str | None = None
    description: str | None = None
    price: Money | None = None
    active: bool | None = None


class StockAdjustment(_Answer):
    """One change of a product's stock that was not an order; `stock` is the stock after it."""

    id: UUID
    product_id: UUID
    delta: int
    stock: int
    reason: str
    actor_id: UUID | None = None
    created_at: datetime


class OrderItem(_Answer):
    """A product and its quantity."""

    product_id: UUID
    quantity: int


class Address(_Body):
    """A shipping address; `country` is an ISO 3166-1 alpha-2 code."""

    name: str
    line1: str
    line2: str | None = None
    city: str
    postal_code: str
    country: str


class NewOrder(_Body):
    """The request body that places an order. It holds no prices: the server sets them."""

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


class NewTransition(_Body):
    """A wanted change of the status of one order.

    With `version`, the order is changed only if this is still its version.
    """

    order_id: UUID
    to: str
    version: int | None = None
    reason: str | None = None


class TransitionProblem(_Answer):
    """Why an order was not changed, in the members of a problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str

    @property
    def name(self) -> str:
        """The last part of `type`, in kebab case."""
        return self.type.rpartition("/")[2]


class TransitionResult(_Answer):
    """What became of one transition; `error` is None if the order changed.

    `status` and `version` are the order's present ones. They are None if the caller has no such
    order.
    """

    order_id: UUID
    status: str | None
    version: int | None
    error: TransitionProblem | None


class TransitionResults(_Answer):
    """What became of each transition, in the order of the request."""

    items: tuple[TransitionResult, ...]


class HistoryActor(_Answer):
    """Who changed an order; `id` is None if `kind` is `system`."""

    kind: str
    id: UUID | None = None


class HistoryEntry(_Answer):
    """One change of the status of an order; `version` and `status` are those after it."""

    version: int
    status: str
    at: datetime
    actor: HistoryActor
    reason: str | None = None


class History(_Answer):
    """The changes of the status of an order, the oldest first."""

    items: tuple[HistoryEntry, ...]


class Notification(_Answer):
    """One notification to the user; `event_id` is its position in the user's feed."""

    id: UUID
    event_id: int
    type: str
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None = None


class Export(RootModel[dict[str, dict[str, list[dict[str, Any]]]]]):
    """All data of a user: by service, and by the name of a list."""


class Page[Item](_Answer):
    """One page of a list; `next_cursor` is None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


class CountedPage[Item](Page[Item]):
    """One page of a list; `total` counts the items of all pages, if the caller asked for it."""

    total: int | None = None


class FeedItem(_Answer):
    """One item of the live feed.

    `reset` means that the server does not keep all items after `last_event_id`, or never issued
    that id: read the lists again.
    """

    type: Literal["notification", "order", "reset"]
    event_id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class FieldError(_Answer):
    """One invalid part of a request.

    `pointer` is a JSON pointer (RFC 6901) into the body. Outside the body, `parameter` or `header`
    names the part.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None

    @property
    def place(self) -> str:
        """The invalid part, as a name for people."""
        return self.pointer or self.parameter or self.header or "request"
