"""The types of the schema. Their objects are rows: members of a service's JSON, by its own names.

`schema.py` reads each field from a row by its Python name, so a field that a service names
`created_at` is `createdAt` here, and nothing is copied.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import strawberry

from gateway.graph.context import Context, Row, id_in_path
from gateway.graph.loaders import Loader
from gateway.graph.plans import Joined
from gateway.graph.scalars import BigInt, DateTime, Json

JOINED = "joined"
"""The metadata of a field that is joined: its `Joined`."""

type Info = strawberry.Info[Context, None]
type Resolver = Callable[..., Any]


def field_of(kind: object, description: str) -> Callable[[Resolver], Any]:
    """Make a resolver that returns rows a field of the type `kind`."""

    def decorate(resolver: Resolver) -> Any:  # noqa: ANN401 - a field of strawberry
        return strawberry.field(resolver=resolver, graphql_type=kind, description=description)

    return decorate


def stream_of(kind: object, description: str) -> Callable[[Resolver], Any]:
    """Make a generator of rows a field of `Subscription`, of the type `kind`."""

    def decorate(resolver: Resolver) -> Any:  # noqa: ANN401 - a field of strawberry
        return strawberry.subscription(
            resolver=resolver, graphql_type=kind, description=description
        )

    return decorate


@strawberry.type(description="An amount in minor units: 1999 EUR are 19.99 €.")
class Money:
    """An amount."""

    amount: BigInt
    currency: str = strawberry.field(description="ISO 4217.")


@strawberry.type(description="A user's own account.")
class User:
    """An account."""

    id: strawberry.ID
    email: str
    full_name: str
    roles: list[str]
    is_active: bool
    email_verified: bool
    version: int
    created_at: DateTime
    updated_at: DateTime


@strawberry.type(description="A product of the catalogue.")
class Product:
    """A product."""

    id: strawberry.ID
    sku: str
    name: str
    description: str
    price: Money
    stock: int = strawberry.field(description="How many can still be sold.")
    active: bool = strawberry.field(description="False: it is not listed and can't be ordered.")
    version: int
    created_at: DateTime
    updated_at: DateTime


@strawberry.enum(description="Where an order stands.")
class OrderStatus(StrEnum):
    """Where an order stands, by the names of the orders service."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


def _products(context: Context) -> Loader[Row]:
    return context.products


@strawberry.type(description="A line of an order, by name and price that the product had then.")
class OrderItem:
    """A line of an order."""

    product_id: strawberry.ID
    name: str
    quantity: int
    unit_price: Money
    total: Money
    product: Product | None = strawberry.field(
        metadata={JOINED: Joined("product_id", _products)},
        description="The product as it is now. All products of an operation are read together.",
    )


@strawberry.type(description="Where an order goes.")
class Address:
    """An address."""

    name: str
    line1: str
    line2: str | None
    city: str
    postal_code: str
    country: str = strawberry.field(description="ISO 3166-1 alpha-2.")


@strawberry.type(description="An order.")
class Order:
    """An order."""

    id: strawberry.ID
    customer_id: strawberry.ID
    status: OrderStatus
    items: list[OrderItem]
    total: Money
    shipping_address: Address | None = strawberry.field(
        description="null: the customer's account was deleted."
    )
    version: int = strawberry.field(description="Pass it as `ifMatch` of a mutation.")
    created_at: DateTime
    updated_at: DateTime


@strawberry.type(description="A notification.")
class Notification:
    """A notification."""

    id: strawberry.ID
    event_id: BigInt = strawberry.field(
        description="Its number in the live feed: pass the last one as `after` to resume."
    )
    type: str
    title: str
    body: str
    data: Json
    created_at: DateTime
    read_at: DateTime | None = strawberry.field(description="null: it is unread.")


@strawberry.type(description="Which channels of a category are on.")
class ChannelSwitches:
    """The channels of a category."""

    in_app: bool
    email: bool
    webhook: bool


@strawberry.type(description="Which notifications a user wants, and where.")
class Preferences:
    """A user's preferences."""

    orders: ChannelSwitches
    security: ChannelSwitches
    announcements: ChannelSwitches
    locale: str | None
    version: int


def _order_of_change(root: strawberry.Parent[Row], info: Info) -> asyncio.Future[Row]:
    return info.context.get("orders", f"/api/v1/orders/{id_in_path(root['order_id'])}")


@strawberry.type(description="One of your orders was placed, or changed.")
class OrderChange:
    """A change of an order."""

    event_id: BigInt = strawberry.field(
        description="Its number in the live feed: pass the last one as `after` to resume."
    )
    order_id: strawberry.ID
    order: Any = strawberry.field(
        resolver=_order_of_change,
        graphql_type=Order | None,
        description="The order as it is now. It is read when the event is sent.",
    )


@strawberry.type(description="Where a page ends (Relay).")
class PageInfo:
    """The end of a page."""

    has_next_page: bool
    has_previous_page: bool = strawberry.field(description="Whether `after` was given.")
    start_cursor: str | None = strawberry.field(description="Always null: pages go forwards.")
    end_cursor: str | None = strawberry.field(
        description="Pass it as `after` to get the next page; null: this is the last page."
    )


_CURSOR = "That of the page's last item is `endCursor`; null for all others."


@strawberry.type
class OrderEdge:
    """An order in a page."""

    cursor: str | None = strawberry.field(description=_CURSOR)
    node: Order


@strawberry.type(description="A page of orders.")
class OrderConnection:
    """A page of orders."""

    edges: list[OrderEdge]
    nodes: list[Order]
    page_info: PageInfo
    total_count: int | None = strawberry.field(
        description="How many there are on all pages. They are counted only if you ask for it."
    )


@strawberry.type
class ProductEdge:
    """A product in a page."""

    cursor: str | None = strawberry.field(description=_CURSOR)
    node: Product


@strawberry.type(description="A page of products.")
class ProductConnection:
    """A page of products."""

    edges: list[ProductEdge]
    nodes: list[Product]
    page_info: PageInfo


@strawberry.type
class NotificationEdge:
    """A notification in a page."""

    cursor: str | None = strawberry.field(description=_CURSOR)
    node: Notification


@strawberry.type(description="A page of notifications.")
class NotificationConnection:
    """A page of notifications."""

    edges: list[NotificationEdge]
    nodes: list[Notification]
    page_info: PageInfo


def connection_of(page: Row, *, after: str | None) -> Row:
    """Return a page of the REST API as a Relay connection.

    A page has one cursor, at its end: the services issue no others, and the gateway makes none up.
    """
    rows: list[Row] = page["items"]
    end: str | None = page["next_cursor"]
    cursors = [None] * (len(rows) - 1) + [end]
    return {
        "nodes": rows,
        "edges": [
            {"cursor": cursor, "node": row} for cursor, row in zip(cursors, rows, strict=False)
        ],
        "page_info": {
            "has_next_page": end is not None,
            "has_previous_page": after is not None,
            "start_cursor": None,
            "end_cursor": end,
        },
        "total_count": page.get("total"),
    }
