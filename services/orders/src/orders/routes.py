"""HTTP of orders: customers place and read their own; support reads any."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from chassis.auth import Principal, require_scope
from chassis.http import Idempotent, Page, Router, etag_of, page_of, problems
from chassis.http.concurrency import NOT_MODIFIED, IfNoneMatch, matches
from chassis.http.idempotency import IdempotencyInFlight, IdempotencyKeyReused
from orders.customers.errors import CustomerInactive
from orders.errors import (
    DuplicateProduct,
    MixedCurrencies,
    OrderNotFound,
    OutOfStock,
    UnknownProduct,
)
from orders.models import ShippingAddress, WantedLine
from orders.schemas import NewOrder, OrderOut, OrderQuery
from orders.wiring import Orders

router = Router(prefix="/api/v1/orders", tags=["orders"])

Reader = Annotated[Principal, require_scope("orders:read")]
Writer = Annotated[Principal, require_scope("orders:write")]


@router.post(
    "",
    operation_id="placeOrder",
    summary="Place an order",
    status_code=201,
    response_model=OrderOut,
    responses=problems(
        CustomerInactive,
        OutOfStock,
        IdempotencyInFlight,
        DuplicateProduct,
        UnknownProduct,
        MixedCurrencies,
        IdempotencyKeyReused,
    ),
)
async def place_order(
    body: NewOrder, caller: Writer, idempotency: Idempotent, orders: Orders
) -> Response:
    """Take the stock and place the order, at the prices of the catalogue.

    With an `Idempotency-Key` the request can be repeated safely: the first answer is sent again.
    Scope: `orders:write`.
    """
    stored = await idempotency.replay()
    if stored is not None:
        return stored
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
    )
    headers = {"Location": f"{router.prefix}/{order.id}", "ETag": etag_of(order.version)}
    return await idempotency.answer(OrderOut.model_validate(order), status=201, headers=headers)


@router.get("", operation_id="listOrders", summary="List your orders")
async def list_orders(
    query: Annotated[OrderQuery, Query()],
    caller: Reader,
    orders: Orders,
    request: Request,
    response: Response,
) -> Page[OrderOut]:
    """Pages of the caller's orders, the newest first. Scope: `orders:read`."""
    found, next_cursor = await orders.page(
        caller.user_id, wanted=query.filter(), limit=query.limit, after=query.after()
    )
    items = [OrderOut.model_validate(order) for order in found]
    return page_of(items, next_cursor=next_cursor, request=request, response=response)


@router.get(
    "/{order_id}",
    operation_id="getOrder",
    summary="Read an order",
    response_model=OrderOut,
    responses={**NOT_MODIFIED, **problems(OrderNotFound)},
)
async def get_order(
    order_id: UUID,
    caller: Reader,
    orders: Orders,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> OrderOut | Response:
    """One of the caller's orders, with its version as `ETag`.

    Scope: `orders:read`; with `orders:read-all` anybody's order.
    """
    reads_all = "orders:read-all" in caller.scopes
    order = await orders.get(order_id, customer_id=None if reads_all else caller.user_id)
    tag = {"ETag": etag_of(order.version)}
    if matches(if_none_match, order.version):
        return Response(status_code=304, headers=tag)
    response.headers.update(tag)
    return OrderOut.model_validate(order)
