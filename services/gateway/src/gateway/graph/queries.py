"""The fields of `Query`. Each is null, with an error, if its service refuses or fails."""

import asyncio
from typing import Annotated

import strawberry
from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode

from gateway.graph.context import Row, id_in_path
from gateway.graph.objects import (
    Info,
    NotificationConnection,
    Order,
    OrderConnection,
    OrderStatus,
    Preferences,
    Product,
    ProductConnection,
    User,
    connection_of,
    field_of,
)
from gateway.graph.scalars import DateTime
from gateway.library_internals.strawberry import core_info

DEFAULT_PAGE = 20

_FIRST = strawberry.argument(description="How many; 100 at most.")
_AFTER = strawberry.argument(description="`endCursor` of the page before.")
First = Annotated[int, _FIRST]
After = Annotated[str | None, _AFTER]


def _asks_for(info: Info, name: str) -> bool:
    """Return whether the selection of a field has a field of this name."""
    core = core_info(info)
    waiting = [node.selection_set for node in core.field_nodes]
    while waiting:
        selections = waiting.pop()
        for node in () if selections is None else selections.selections:
            if isinstance(node, FragmentSpreadNode):
                waiting.append(core.fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FieldNode) and node.name.value == name:
                return True
    return False


@strawberry.type
class Query:
    """What can be read."""

    @field_of(User | None, "Your account.")
    def me(self, info: Info) -> asyncio.Future[Row]:
        """Read the caller's account."""
        return info.context.get("users", "/api/v1/users/me")

    @field_of(
        OrderConnection | None,
        "Your orders, newest first; with the scope `orders:read-all` all orders.",
    )
    async def orders(
        self,
        info: Info,
        *,
        first: First = DEFAULT_PAGE,
        after: After = None,
        status: OrderStatus | None = None,
        customer_id: strawberry.ID | None = None,
        created_after: DateTime | None = None,
        created_before: DateTime | None = None,
    ) -> Row:
        """Read a page of orders."""
        query = {
            "limit": first,
            "cursor": after,
            "status": None if status is None else status.value,
            "customer_id": customer_id,
            "created_after": created_after,
            "created_before": created_before,
            "total": True if _asks_for(info, "totalCount") else None,
        }
        page = await info.context.get("orders", "/api/v1/orders", query)
        return connection_of(page, after=after)

    @field_of(Order | None, "An order.")
    def order(self, info: Info, id: strawberry.ID) -> asyncio.Future[Row]:  # noqa: A002 - its name in the schema
        """Read an order."""
        return info.context.get("orders", f"/api/v1/orders/{id_in_path(id)}")

    @field_of(
        ProductConnection | None, "The active products, oldest first. No access token is needed."
    )
    async def products(
        self,
        info: Info,
        *,
        q: Annotated[
            str | None,
            strawberry.argument(description="Words of the name or SKU; see `GET /products`."),
        ] = None,
        first: First = DEFAULT_PAGE,
        after: After = None,
    ) -> Row:
        """Read a page of products."""
        query = {"q": q, "limit": first, "cursor": after}
        page = await info.context.get("orders", "/api/v1/products", query)
        return connection_of(page, after=after)

    @field_of(Product | None, "A product, also an inactive one.")
    def product(self, info: Info, id: strawberry.ID) -> asyncio.Future[Row]:  # noqa: A002 - its name in the schema
        """Read a product."""
        return info.context.get("orders", f"/api/v1/products/{id_in_path(id)}")

    @field_of(NotificationConnection | None, "Your notifications, newest first.")
    async def notifications(
        self,
        info: Info,
        *,
        first: First = DEFAULT_PAGE,
        after: After = None,
        unread: Annotated[
            bool | None, strawberry.argument(description="Only unread ones; false: only read ones.")
        ] = None,
    ) -> Row:
        """Read a page of notifications."""
        query = {"limit": first, "cursor": after, "unread": unread}
        page = await info.context.get("notifications", "/api/v1/notifications", query)
        return connection_of(page, after=after)

    @field_of(int | None, "How many of your notifications are unread.")
    async def unread_count(self, info: Info) -> int:
        """Count the unread notifications."""
        row = await info.context.get("notifications", "/api/v1/notifications/unread-count")
        count: int = row["unread"]
        return count

    @field_of(Preferences | None, "Which notifications you want, and where.")
    def preferences(self, info: Info) -> asyncio.Future[Row]:
        """Read the preferences."""
        return info.context.get("notifications", "/api/v1/notifications/preferences")
