"""HTTP routes of stock: set it, adjust it, read its history. All require a scope."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from chassis.errors import PreconditionFailed
from chassis.http import (
    ExpectedVersion,
    Idempotent,
    Page,
    PageQuery,
    Pages,
    Router,
    problems,
)
from chassis.paging import TimePosition
from orders.catalog.errors import ProductNotFound
from orders.catalog.routes import Clerk
from orders.catalog.schemas import ProductOut
from orders.stock.errors import StockTooHigh, StockTooLow
from orders.stock.schemas import AdjustmentOut, NewAdjustment, NewStock
from orders.stock.wiring import Stock

router = Router(prefix="/api/v1/products/{product_id}", tags=["catalogue"])


@router.put(
    "/stock",
    operation_id="setStock",
    summary="Set the stock of a product",
    versioned=True,
    responses=problems(ProductNotFound, PreconditionFailed),
)
async def set_stock(
    product_id: UUID, body: NewStock, actor: Clerk, stock: Stock, expected: ExpectedVersion
) -> ProductOut:
    """Set how many can still be sold, as after a count. Scope: `catalog:write`.

    Orders that were placed have taken theirs already. Without `If-Match`, the orders between the
    count and this request are lost. The stock that it has already leaves the version as it is.
    """
    product = await stock.set_stock(
        product_id, stock=body.stock, reason=body.reason, expected=expected, by=actor
    )
    return ProductOut.model_validate(product)


@router.post(
    "/stock-adjustments",
    operation_id="adjustStock",
    summary="Adjust the stock of a product",
    status_code=201,
    idempotent=Idempotent.OPTIONAL,
    responses=problems(ProductNotFound, PreconditionFailed, StockTooLow, StockTooHigh),
)
async def adjust_stock(
    product_id: UUID, body: NewAdjustment, actor: Clerk, stock: Stock, expected: ExpectedVersion
) -> AdjustmentOut:
    """Add to what can still be sold, or take from it. Scope: `catalog:write`.

    Orders at the same time lose nothing by it. With too few left, nothing is taken, and the problem
    says in `available` how many there are.
    """
    adjustment = await stock.adjust(
        product_id, delta=body.delta, reason=body.reason, expected=expected, by=actor
    )
    return AdjustmentOut.model_validate(adjustment)


@router.get(
    "/stock-adjustments",
    operation_id="listStockAdjustments",
    summary="List the changes of a product's stock",
    responses=problems(ProductNotFound),
)
async def list_stock_adjustments(
    product_id: UUID,
    query: Annotated[PageQuery, Query()],
    _: Clerk,
    stock: Stock,
    pages: Pages,
) -> Page[AdjustmentOut]:
    """Pages of all changes but orders, the newest first. Scope: `catalog:write`."""
    found = await stock.history(product_id, query.page(TimePosition))
    return pages.write(found, AdjustmentOut.model_validate, query=query)
