"""The catalogue and its stock."""

from datetime import datetime
from uuid import UUID

from client.calls import MERGE_PATCH, Calls, if_match, key_header, params_of
from client.shapes import Answer, Body, Money, Page
from client.tokens import Token


class Product(Answer):
    """One entry of the catalogue; `stock` is what is available to sell.

    An inactive product is not listed and can't be ordered. Pass `version` to a change to be sure
    that nobody changed the product since it was read.
    """

    id: UUID
    sku: str
    name: str
    description: str
    price: Money
    stock: int
    active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class NewProduct(Body):
    """The request body that creates a product."""

    sku: str
    name: str
    description: str
    price: Money
    stock: int
    active: bool = True


class ProductChanges(Body):
    """The request body that changes a product: fields that are not set stay as they are."""

    name: str | None = None
    description: str | None = None
    price: Money | None = None
    active: bool | None = None


class StockAdjustment(Answer):
    """One change of a product's stock that was not an order; `stock` is the stock after it."""

    id: UUID
    product_id: UUID
    delta: int
    stock: int
    reason: str
    actor_id: UUID | None
    created_at: datetime


class CatalogCalls(Calls):
    """The calls that concern products. A change needs the scope `catalog:write`."""

    async def list_products(
        self, *, q: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Page[Product]:
        """Return one page of the catalogue. The catalogue is public: it needs no token.

        Args:
            q: only products with all these words in their name or SKU, or with words that begin so.
            limit: the size of the page.
            cursor: `next_cursor` of the page before.
        """
        params = params_of(q=q, limit=limit, cursor=cursor)
        return await self.call(Page[Product], "GET", "/products", params=params)

    async def get_product(self, product_id: UUID) -> Product:
        """Return a product, also an inactive one. It needs no token."""
        return await self.call(Product, "GET", f"/products/{product_id}")

    async def create_product(
        self, token: Token, product: NewProduct, *, idempotency_key: str | None = None
    ) -> Product:
        """Create a product and return it.

        Args:
            token: authenticates the call.
            product: the product.
            idempotency_key: None: a new one. A repeated key returns the first product.
        """
        body = product.model_dump(mode="json", exclude_unset=True)
        headers = key_header(idempotency_key)
        return await self.call(
            Product, "POST", "/products", token=token, headers=headers, json=body
        )

    async def update_product(
        self,
        token: Token,
        product_id: UUID,
        changes: ProductChanges,
        *,
        version: int | None = None,
    ) -> Product:
        """Change a product and return it.

        Args:
            token: authenticates the call.
            product_id: the product.
            changes: only the fields that are set are sent.
            version: change only if this is still the product's version; None: in any case.
        """
        headers = MERGE_PATCH | if_match(version)
        body = changes.model_dump(mode="json", exclude_unset=True)
        path = f"/products/{product_id}"
        return await self.call(Product, "PATCH", path, token=token, headers=headers, json=body)

    async def set_stock(
        self,
        token: Token,
        product_id: UUID,
        *,
        stock: int,
        reason: str,
        version: int | None = None,
    ) -> Product:
        """Set how many of a product can still be sold, and return it.

        Pass `version`, or orders since the count are lost; see `update_product`.
        """
        body = {"stock": stock, "reason": reason}
        path = f"/products/{product_id}/stock"
        headers = if_match(version)
        return await self.call(Product, "PUT", path, token=token, headers=headers, json=body)

    async def adjust_stock(
        self,
        token: Token,
        product_id: UUID,
        *,
        delta: int,
        reason: str,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> StockAdjustment:
        """Add `delta` to the stock of a product, and return the adjustment.

        `version` is as in `update_product`, `idempotency_key` as in `create_product`.
        """
        body = {"delta": delta, "reason": reason}
        path = f"/products/{product_id}/stock-adjustments"
        headers = key_header(idempotency_key) | if_match(version)
        return await self.call(
            StockAdjustment, "POST", path, token=token, headers=headers, json=body
        )

    async def list_stock_adjustments(
        self, token: Token, product_id: UUID, *, limit: int = 20, cursor: str | None = None
    ) -> Page[StockAdjustment]:
        """Return one page of a product's adjustments, newest first."""
        path = f"/products/{product_id}/stock-adjustments"
        params = params_of(limit=limit, cursor=cursor)
        return await self.call(Page[StockAdjustment], "GET", path, token=token, params=params)
