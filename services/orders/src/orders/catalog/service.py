"""The use cases of products."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Unpack
from uuid import UUID

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.database import new_id
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows, TimePosition
from chassis.versions import Expected
from contracts.base import Money as MoneyData
from contracts.orders import ProductSnapshot, ProductStockChanged, ProductUpdated
from orders.catalog.errors import ProductNotFound, SkuTaken
from orders.catalog.models import Money, Offer, Product, ProductChanges, StockAdjustment
from orders.catalog.repository import ProductRepository


class ProductService:
    """The catalogue, in one transaction.

    Args:
        products: the repository.
        outbox: stores the events to publish.
        audit: records what people did.
    """

    def __init__(self, *, products: ProductRepository, outbox: Outbox, audit: AuditLog) -> None:
        self._products = products
        self._outbox = outbox
        self._audit = audit

    async def create(
        self,
        *,
        sku: str,
        name: str,
        description: str,
        price: Money,
        stock: int,
        active: bool,
        by: Actor,
    ) -> Product:
        """Create a product and return it.

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
                active=active,
                version=1,
            )
        )
        if product is None:
            message = f"A product has the SKU {sku} already. Choose another SKU."
            raise SkuTaken(message)
        if stock:
            await self._products.record(
                _adjustment(product, delta=stock, reason="Initial stock", by=by)
            )
        # The first event of a product announces all its facts.
        self._outbox.add(_with_all_facts(ProductStockChanged, product))
        self._audit.append(
            "product.created", actor=by, subject=f"product:{product.id}", details={"sku": sku}
        )
        return product

    async def change(
        self, product_id: UUID, *, expected: Expected, by: Actor, **changes: Unpack[ProductChanges]
    ) -> Product:
        """Change the given facts of a product, and return the product.

        If each of them has the given value already, nothing is written and announced.

        Raises:
            ProductNotFound: no product has this id.
            PreconditionFailed: the product's version is not as `expected`.
        """
        product = await self.locked(product_id, expected)
        before = {name: getattr(product, name) for name in changes}
        if before == changes:
            return product
        changed = await self._products.change(product, **changes)
        self._outbox.add(_with_all_facts(ProductUpdated, changed))
        self._audit.append(
            "product.updated",
            actor=by,
            subject=f"product:{product_id}",
            details={
                name: {"before": _plain(was), "after": _plain(getattr(changed, name))}
                for name, was in before.items()
                if was != getattr(changed, name)
            },
        )
        return changed

    async def change_stock(
        self, product: Product, *, delta: int, reason: str, by: Actor
    ) -> StockAdjustment:
        """Add `delta`, which is not 0, to the stock of a locked product; return the adjustment.

        The caller has checked that the stock stays within its bounds. Afterwards `product` has the
        new stock and version.
        """
        before = product.stock
        changed = await self._products.change(product, stock=before + delta)
        adjustment = _adjustment(changed, delta=delta, reason=reason, by=by)
        await self._products.record(adjustment)
        self._announce(changed.id, changed.sku, changed.stock, changed.version)
        self._audit.append(
            "product.stock_changed",
            actor=by,
            subject=f"product:{changed.id}",
            details={"before": before, "after": changed.stock, "reason": reason},
        )
        return adjustment

    async def get(self, product_id: UUID) -> Product:
        """Return a product, or raise ProductNotFound."""
        return _found(await self._products.find(product_id), product_id)

    async def locked(self, product_id: UUID, expected: Expected) -> Product:
        """Lock a product until the commit, and return it.

        A transaction that locks several products does so in the order of their ids.

        Raises:
            ProductNotFound: no product has this id.
            PreconditionFailed: the product's version is not as `expected`.
        """
        product = _found(await self._products.find(product_id, lock=True), product_id)
        expected.check(product.version)
        return product

    async def page(
        self,
        wanted: PageRequest[TimePosition],
        *,
        text: str | None,
        ids: Sequence[UUID] | None = None,
    ) -> PageRows[Product, TimePosition]:
        """Return a page of products with the words of `text`, oldest first.

        Args:
            wanted: the page.
            text: the words; None or an empty text finds all.
            ids: only these products, also inactive ones; None: all active ones.

        Raises:
            SearchTooSlow: the search took longer than a search may.
        """
        return await self._products.page(wanted, text=text, ids=ids)

    async def reserve(self, wanted: Mapping[UUID, int]) -> Mapping[UUID, Offer]:
        """Reserve the `wanted` quantities of all products with enough stock; return the offers.

        The caller must check the offers, and roll back if one is missing or has too little stock.
        """
        offers = await self._products.reserve(wanted)
        for offer in offers.values():
            if offer.stock is not None and offer.version is not None:
                self._announce(offer.product_id, offer.sku, offer.stock, offer.version)
        return offers

    async def release(self, returned: Mapping[UUID, int]) -> None:
        """Give reserved quantities back, which can then be sold again."""
        for level in await self._products.release(returned):
            self._announce(level.product_id, level.sku, level.stock, level.version)

    async def snapshots(self, *, after: UUID | None, limit: int) -> Sequence[ProductSnapshot]:
        """Return snapshots of products, ordered by id. Their rows stay locked until the commit."""
        return [
            _with_all_facts(ProductSnapshot, product)
            for product in await self._products.lock_page(after=after, limit=limit)
        ]

    def _announce(self, product_id: UUID, sku: str, stock: int, version: int) -> None:
        self._outbox.add(
            ProductStockChanged(version=version, product_id=product_id, sku=sku, stock=stock)
        )


def _found(product: Product | None, product_id: UUID) -> Product:
    if product is None:
        message = f"No product has the id {product_id}. Take the id from the list of products."
        raise ProductNotFound(message)
    return product


def _adjustment(product: Product, *, delta: int, reason: str, by: Actor) -> StockAdjustment:
    return StockAdjustment(
        id=new_id(),
        product_id=product.id,
        delta=delta,
        stock=product.stock,
        reason=reason,
        actor_id=by.user_id,
    )


def _with_all_facts[E: (ProductStockChanged, ProductUpdated, ProductSnapshot)](
    event: type[E], product: Product
) -> E:
    """Return an event that has all facts of a product."""
    return event(
        version=product.version,
        product_id=product.id,
        sku=product.sku,
        stock=product.stock,
        name=product.name,
        description=product.description,
        price=money_data(product.price),
        active=product.active,
    )


def money_data(money: Money) -> MoneyData:
    """Return an amount as events carry it."""
    return MoneyData(amount=money.amount, currency=money.currency)


def _plain(value: object) -> object:
    """Return a fact as JSON, for the audit log."""
    return asdict(value) if isinstance(value, Money) else value
