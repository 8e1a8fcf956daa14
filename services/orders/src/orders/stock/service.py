"""The use cases of stock."""

from uuid import UUID

from chassis.actor import Actor
from chassis.paging import PageRequest, PageRows, TimePosition
from chassis.versions import Expected
from orders.catalog.models import MAX_STOCK, Product, StockAdjustment
from orders.catalog.service import ProductService
from orders.stock.errors import StockTooHigh, StockTooLow
from orders.stock.repository import StockHistory


class StockService:
    """The stock of products, in one transaction.

    Args:
        products: the use cases of products.
        history: the adjustments so far.
    """

    def __init__(self, *, products: ProductService, history: StockHistory) -> None:
        self._products = products
        self._history = history

    async def set_stock(
        self, product_id: UUID, *, stock: int, reason: str, expected: Expected, by: Actor
    ) -> Product:
        """Set the stock of a product, and return the product.

        If it has this stock already, nothing is written and announced.

        Raises:
            ProductNotFound: no product has this id.
            PreconditionFailed: the product's version is not as `expected`.
        """
        product = await self._products.locked(product_id, expected)
        if stock == product.stock:
            return product
        await self._products.change_stock(
            product, delta=stock - product.stock, reason=reason, by=by
        )
        return product

    async def adjust(
        self, product_id: UUID, *, delta: int, reason: str, expected: Expected, by: Actor
    ) -> StockAdjustment:
        """Add `delta`, which is not 0, to the stock of a product, and return the adjustment.

        Raises:
            ProductNotFound: no product has this id.
            PreconditionFailed: the product's version is not as `expected`.
            StockTooLow: the stock would be negative.
            StockTooHigh: the stock would be above ``MAX_STOCK``.
        """
        product = await self._products.locked(product_id, expected)
        _refuse_unfit(product, delta)
        return await self._products.change_stock(product, delta=delta, reason=reason, by=by)

    async def history(
        self, product_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[StockAdjustment, TimePosition]:
        """Return a page of a product's adjustments, newest first.

        Raises:
            ProductNotFound: no product has this id.
        """
        found = await self._history.page(product_id, wanted)
        if not found.items:
            await self._products.get(product_id)
        return found


def _refuse_unfit(product: Product, delta: int) -> None:
    stock, extra = product.stock + delta, {"available": product.stock}
    if stock < 0:
        message = (
            f"{-delta} are to be taken from the stock of {product.sku}, but only {product.stock} "
            "are available. Take fewer, or set the stock to what was counted."
        )
        raise StockTooLow(message, extra=extra)
    if delta > 0 and stock > MAX_STOCK:  # returned pieces may have raised it above
        message = (
            f"The stock of {product.sku} is {product.stock}, and with {delta} more it would be "
            f"{stock}. {MAX_STOCK} is the largest stock. Add fewer."
        )
        raise StockTooHigh(message, extra=extra)
