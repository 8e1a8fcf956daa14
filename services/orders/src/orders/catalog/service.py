"""What can be done with products."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from chassis.database import new_id
from chassis.http.pages import Cursor
from chassis.messaging import Outbox
from contracts.orders import ProductSnapshot, ProductStockChanged
from orders.catalog.errors import ProductNotFound, SkuTaken
from orders.catalog.models import Money, Offer, Product
from orders.catalog.repository import ProductRepository


class ProductService:
    """The catalogue, in one transaction.

    Args:
        products: all SQL on them.
        outbox: takes the events.
    """

    def __init__(self, *, products: ProductRepository, outbox: Outbox) -> None:
        self._products = products
        self._outbox = outbox

    async def create(
        self, *, sku: str, name: str, description: str, price: Money, stock: int
    ) -> Product:
        """Put a product into the catalogue.

        Raises:
            SkuTaken: another product has the SKU.
        """
        product = await self._products.add(
            Product(
                id=new_id(),
                sku=sku,
                name=name,
                description=description,
                price=price,
                stock=stock,
                version=1,
            )
        )
        if product is None:
            message = f"a product with the SKU {sku} exists: choose another SKU"
            raise SkuTaken(message)
        self._announce(product.id, product.sku, product.stock, product.version)
        return product

    async def get(self, product_id: UUID) -> Product:
        """Give a product.

        Raises:
            ProductNotFound: no product has this id.
        """
        product = await self._products.find(product_id)
        if product is None:
            message = f"no product has the id {product_id}: see GET /api/v1/products"
            raise ProductNotFound(message)
        return product

    async def page(
        self, *, text: str | None, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Product], Cursor | None]:
        """Give a page of the products with `text` in their name or SKU."""
        return await self._products.page(text=text, limit=limit, after=after)

    async def reserve(self, wanted: Mapping[UUID, int]) -> Mapping[UUID, Offer]:
        """Take the `wanted` quantities from the stock, each where there is enough.

        The caller looks at the offers, and rolls back where one that it needs is missing or short.
        """
        offers = await self._products.reserve(wanted)
        for offer in offers.values():
            if offer.stock is not None and offer.version is not None:
                self._announce(offer.product_id, offer.sku, offer.stock, offer.version)
        return offers

    async def snapshots(self, *, after: UUID | None, limit: int) -> Sequence[ProductSnapshot]:
        """Tell what products are at present, in the order of their ids; they stay so to the end."""
        return [
            ProductSnapshot(
                version=product.version,
                product_id=product.id,
                sku=product.sku,
                stock=product.stock,
            )
            for product in await self._products.lock_page(after=after, limit=limit)
        ]

    def _announce(self, product_id: UUID, sku: str, stock: int, version: int) -> None:
        self._outbox.add(
            ProductStockChanged(version=version, product_id=product_id, sku=sku, stock=stock)
        )
