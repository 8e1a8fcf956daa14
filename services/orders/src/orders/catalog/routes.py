"""HTTP routes of the catalogue. Reading is public; writing requires a scope."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Response

from chassis.actor import Actor
from chassis.errors import PreconditionFailed
from chassis.http import (
    ExpectedVersion,
    Idempotent,
    Page,
    Pages,
    Router,
    acting,
    problems,
)
from chassis.paging import TimePosition
from chassis.wire_names import MERGE_PATCH
from orders.catalog.errors import ProductNotFound, SearchTooSlow, SkuTaken
from orders.catalog.models import Money
from orders.catalog.schemas import NewProduct, ProductOut, ProductPatch, ProductQuery, changes_in
from orders.catalog.wiring import Products

router = Router(prefix="/api/v1/products", tags=["catalogue"])

Clerk = Annotated[Actor, acting("catalog:write")]

# For so many seconds a shared cache serves a busy page from one request. A price or a stock that is
# shown may be that old; an order uses the present ones.
_PUBLIC_SECONDS = 10

_MERGE_PATCH = Body(media_type=MERGE_PATCH)


@router.get(
    "",
    operation_id="listProducts",
    summary="List products",
    public_for=_PUBLIC_SECONDS,
    responses=problems(SearchTooSlow),
)
async def list_products(
    query: Annotated[ProductQuery, Query()],
    products: Products,
    pages: Pages,
) -> Page[ProductOut]:
    """Pages of the active products, or of those with `ids`, the oldest first. Needs no token.

    Caches keep a page for 10 seconds. An order uses the present prices and stock.
    """
    found = await products.page(query.page(TimePosition), text=query.q, ids=query.ids)
    return pages.write(found, ProductOut.model_validate, query=query)


@router.get(
    "/{product_id}",
    operation_id="getProduct",
    summary="Read a product",
    versioned=True,
    public_for=_PUBLIC_SECONDS,
    responses=problems(ProductNotFound),
)
async def get_product(product_id: UUID, products: Products) -> ProductOut:
    """One product, also an inactive one, with its version as `ETag`. No access token is needed.

    Caches keep it for 10 seconds. An order uses the present price and stock.
    """
    return ProductOut.model_validate(await products.get(product_id))


@router.post(
    "",
    operation_id="createProduct",
    summary="Create a product",
    status_code=201,
    idempotent=Idempotent.OPTIONAL,
    versioned=True,
    responses=problems(SkuTaken),
)
async def create_product(
    body: NewProduct, actor: Clerk, products: Products, response: Response
) -> ProductOut:
    """Put a product into the catalogue. Scope: `catalog:write`."""
    product = await products.create(
        sku=body.sku,
        name=body.name,
        description=body.description,
        price=Money(body.price.amount, body.price.currency),
        stock=body.stock,
        active=body.active,
        by=actor,
    )
    response.headers["Location"] = f"{router.prefix}/{product.id}"
    return ProductOut.model_validate(product)


@router.patch(
    "/{product_id}",
    operation_id="updateProduct",
    summary="Change a product",
    versioned=True,
    responses=problems(ProductNotFound, PreconditionFailed),
)
async def update_product(
    product_id: UUID,
    body: Annotated[ProductPatch, _MERGE_PATCH],
    actor: Clerk,
    products: Products,
    expected: ExpectedVersion,
) -> ProductOut:
    """Change a product, by JSON Merge Patch (RFC 7396). Scope: `catalog:write`.

    A patch that changes nothing, such as an empty one, leaves the version as it is.
    """
    product = await products.change(product_id, expected=expected, by=actor, **changes_in(body))
    return ProductOut.model_validate(product)
