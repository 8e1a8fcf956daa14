"""HTTP routes of orders. Customers place and read their own orders; support reads any order."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from chassis.actor import Actor
from chassis.auth import InsufficientScope, Principal, require_scope
from chassis.http import CountedPage, Idempotent, Pages, Router, acting, problems
from chassis.paging import TimePosition
from orders.customers.errors import CustomerInactive
from orders.orders.errors import (
    DuplicateProduct,
    MixedCurrencies,
    OrderNotFound,
    OutOfStock,
    ProductInactive,
    TotalTooLarge,
    UnknownProduct,
)
from orders.orders.models import ShippingAddress, WantedLine
from orders.orders.schemas import NewOrder, OrderOut, OrderQuery
from orders.orders.wiring import Orders

router = Router(prefix="/api/v1/orders", tags=["orders"])

Reader = Annotated[Principal, require_scope("orders:read")]
Writer = Annotated[Principal, require_scope("orders:write")]
Placer = Annotated[Actor, acting("orders:write")]


@router.post(
    "",
    operation_id="placeOrder",
    summary="Place an order",
    status_code=201,
    idempotent=Idempotent.REQUIRED,
    versioned=True,
    responses=problems(
        CustomerInactive,
        OutOfStock,
        ProductInactive,
        DuplicateProduct,
        UnknownProduct,
        MixedCurrencies,
        TotalTooLarge,
    ),
)
async def place_order(
    body: NewOrder, caller: Writer, actor: Placer, orders: Orders, response: Response
) -> OrderOut:
    """Take the stock and place the order, at the prices of the catalogue.

    By its `Idempotency-Key` the request can be repeated safely: the first answer is sent again.
    Scope: `orders:write`.
    """
    address = body.shipping_address
    order = await orders.place(
        caller.user_id,
        lines=[
            WantedLine(product_id=item.product_id, quantity=item.quantity) for item in body.items
        ],
        shipping_address=ShippingAddress(
            name=address.name,
            line1=address.line1,
            line2=address.line2,
            city=address.city,
            postal_code=address.postal_code,
            country=address.country,
        ),
        by=actor,
    )
    response.headers["Location"] = f"{router.prefix}/{order.id}"
    return OrderOut.model_validate(order)


@router.get(
    "",
    operation_id="listOrders",
    summary="List orders",
    responses=problems(InsufficientScope),
)
async def list_orders(
    query: Annotated[OrderQuery, Query()],
    caller: Reader,
    orders: Orders,
    pages: Pages,
) -> CountedPage[OrderOut]:
    """Pages of the caller's orders, the newest first; with `orders:read-all` of all orders.

    Scope: `orders:read`. Without `orders:read-all`, the `customer_id` of another customer is
    refused with 403 `insufficient-scope`.
    """
    only = query.filter(_listed_customer(query.customer_id, caller))
    found = await orders.page(query.page(TimePosition), only=only)
    return pages.write_counted(found, OrderOut.model_validate, query=query)


def _listed_customer(wanted: UUID | None, caller: Principal) -> UUID | None:
    """Return whose orders to list, None for all; or raise InsufficientScope."""
    if "orders:read-all" in caller.scopes:
        return wanted
    if wanted not in (None, caller.user_id):
        message = (
            f"The access token lacks the scope orders:read-all, so it can't list the orders of "
            f"customer {wanted}. Leave `customer_id` out to list your own."
        )
        raise InsufficientScope(message, extra={"scope": "orders:read-all"})
    return caller.user_id


@router.get(
    "/{order_id}",
    operation_id="getOrder",
    summary="Read an order",
    versioned=True,
    responses=problems(OrderNotFound),
)
async def get_order(
    order_id: UUID,
    caller: Reader,
    orders: Orders,
) -> OrderOut:
    """One of the caller's orders, with its version as `ETag`.

    Scope: `orders:read`; with `orders:read-all` anybody's order.
    """
    reads_all = "orders:read-all" in caller.scopes
    order = await orders.get(order_id, customer_id=None if reads_all else caller.user_id)
    return OrderOut.model_validate(order)
