"""HTTP of the catalogue: everybody reads it, who may write it needs a scope."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from chassis.auth import require_scope
from chassis.http import Page, Router, etag_of, page_of, problems
from chassis.http.concurrency import NOT_MODIFIED, IfNoneMatch, matches
from orders.catalog.errors import ProductNotFound, SkuTaken
from orders.catalog.models import Money
from orders.catalog.schemas import NewProduct, ProductOut, ProductQuery
from orders.wiring import Products

router = Router(prefix="/api/v1/products", tags=["catalogue"])


@router.get("", operation_id="listProducts", summary="List products")
async def list_products(
    query: Annotated[ProductQuery, Query()],
    products: Products,
    request: Request,
    response: Response,
) -> Page[ProductOut]:
    """Pages of the catalogue, the oldest product first. No access token is needed."""
    found, next_cursor = await products.page(text=query.q, limit=query.limit, after=query.after())
    items = [ProductOut.model_validate(product) for product in found]
    return page_of(items, next_cursor=next_cursor, request=request, response=response)


@router.get(
    "/{product_id}",
    operation_id="getProduct",
    summary="Read a product",
    response_model=ProductOut,
    responses={**NOT_MODIFIED, **problems(ProductNotFound)},
)
async def get_product(
    product_id: UUID, products: Products, response: Response, if_none_match: IfNoneMatch = None
) -> ProductOut | Response:
    """One product, with its version as `ETag`. No access token is needed."""
    product = await products.get(product_id)
    tag = {"ETag": etag_of(product.version)}
    if matches(if_none_match, product.version):
        return Response(status_code=304, headers=tag)
    response.headers.update(tag)
    return ProductOut.model_validate(product)


@router.post(
    "",
    operation_id="createProduct",
    summary="Create a product",
    status_code=201,
    dependencies=[require_scope("catalog:write")],
    responses=problems(SkuTaken),
)
async def create_product(body: NewProduct, products: Products, response: Response) -> ProductOut:
    """Put a product into the catalogue. Scope: `catalog:write`."""
    product = await products.create(
        sku=body.sku,
        name=body.name,
        description=body.description,
        price=Money(body.price.amount, body.price.currency),
        stock=body.stock,
    )
    response.headers["Location"] = f"{router.prefix}/{product.id}"
    response.headers["ETag"] = etag_of(product.version)
    return ProductOut.model_validate(product)
