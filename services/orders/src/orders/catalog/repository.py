"""All SQL on products."""

from collections.abc import Mapping, Sequence
from typing import Unpack
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.database.searching import condition_of_search
from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition, locked_rows
from orders.catalog.errors import SearchTooSlow
from orders.catalog.models import (
    SEARCH_VECTOR,
    Money,
    Offer,
    Product,
    ProductChanges,
    StockAdjustment,
    StockLevel,
)

# The index finds the products of a word, but a short prefix is in so many of them that to sort them
# takes long. Anybody may search, so each one's time is bounded.
_SEARCH_SECONDS = 1.0

_OLDEST_FIRST = ListOrder(TimePosition, Product.created_at, Product.id)

# Lock the wanted products in the order of their ids and take the quantities, in one statement. All
# transactions that change stock lock in this order, so they never deadlock. The lock re-reads the
# newest version of each row. A product with too little stock is returned and not updated. It counts
# what is locked: the UPDATE first sees the row of the statement's snapshot, which may be older, and
# would refuse pieces that have come back since.
_RESERVE = """
    WITH locked AS (
        SELECT p.id, p.sku, p.name, p.price_amount, p.price_currency, p.active, p.stock,
            wanted.quantity
        FROM products AS p
        JOIN unnest($1::uuid[], $2::integer[]) AS wanted (id, quantity) ON wanted.id = p.id
        ORDER BY p.id
        FOR NO KEY UPDATE OF p
    ), taken AS (
        UPDATE products AS p
        SET stock = locked.stock - locked.quantity, version = p.version + 1, updated_at = now()
        FROM locked
        WHERE p.id = locked.id AND locked.stock >= locked.quantity
        RETURNING p.id, p.stock, p.version
    )
    SELECT locked.id AS product_id, sku, name, price_amount, price_currency, active,
        locked.stock AS available, taken.stock, taken.version, now() AS reserved_at
    FROM locked LEFT JOIN taken ON taken.id = locked.id
"""

# Give quantities back, in one statement. The lock order is that of `_RESERVE`.
_RELEASE = """
    WITH locked AS (
        SELECT p.id, returned.quantity
        FROM products AS p
        JOIN unnest($1::uuid[], $2::integer[]) AS returned (id, quantity) ON returned.id = p.id
        ORDER BY p.id
        FOR NO KEY UPDATE OF p
    )
    UPDATE products AS p
    SET stock = p.stock + locked.quantity, version = p.version + 1, updated_at = now()
    FROM locked
    WHERE p.id = locked.id
    RETURNING p.id AS product_id, p.sku, p.stock, p.version
"""

LEVELS = """
    SELECT id AS position, id::text AS key, id::text AS subject, version, stock AS level,
        created_at, updated_at AS changed_at
    FROM products WHERE id > $1 ORDER BY id LIMIT $2
"""
"""Each product with its version and stock, for ``slipway verify``."""

ADJUSTED = """
    SELECT id AS position, product_id::text AS key, product_id::text AS subject, delta,
        created_at AS at
    FROM stock_adjustments WHERE id > $1 ORDER BY id LIMIT $2
"""
"""What people added to the stock of products, for ``slipway verify``."""


class _Changes(ProductChanges, total=False):
    stock: int


class ProductRepository:
    """The products of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, product: Product) -> Product | None:
        """Insert and return the product, or return None if its SKU is taken.

        If a parallel transaction inserts the same SKU, this waits for its end.
        """
        statement = (
            insert(Product)
            .values(
                id=product.id,
                sku=product.sku,
                name=product.name,
                description=product.description,
                price_amount=product.price.amount,
                price_currency=product.price.currency,
                stock=product.stock,
                active=product.active,
                version=product.version,
            )
            .on_conflict_do_nothing(index_elements=[Product.sku])
            .returning(Product)
        )
        added: Product | None = await self._unit.session.scalar(statement)
        return added

    async def find(self, product_id: UUID, *, lock: bool = False) -> Product | None:
        """Return a product, or None. With `lock`, nobody else changes it until the commit."""
        statement = select(Product).where(Product.id == product_id)
        if lock:
            statement = statement.with_for_update(key_share=True).execution_options(
                populate_existing=True  # what this transaction read before the lock may be old
            )
        return await self._unit.session.scalar(statement)

    async def change(self, product: Product, **changes: Unpack[_Changes]) -> Product:
        """Write `changes` to a locked product, raise its version by one, and return it.

        The caller announces exactly one event of the new version.
        """
        statement = (
            update(Product)
            .where(Product.id == product.id)
            .values(**changes, version=Product.version + 1)
            .returning(Product)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def record(self, adjustment: StockAdjustment) -> None:
        """Insert an adjustment of a locked product's stock, and set its time."""
        self._unit.session.add(adjustment)
        await self._unit.session.flush()

    async def page(
        self,
        wanted: PageRequest[TimePosition],
        *,
        text: str | None,
        ids: Sequence[UUID] | None,
    ) -> PageRows[Product, TimePosition]:
        """Return a page of the active products, oldest first.

        Args:
            wanted: the page.
            text: only those with all its words in name or SKU; see ``search_query``. None or an
                empty text lists all.
            ids: only these products, also inactive ones; None: no condition on the id.

        Raises:
            SearchTooSlow: the search for `text` took longer than a search may.
        """
        statement = select(Product).where(Product.active if ids is None else Product.id.in_(ids))
        if not text:
            return await _OLDEST_FIRST.page(self._unit.session, statement, wanted)
        try:
            async with self._unit.time_limit(_SEARCH_SECONDS):
                found = await condition_of_search(
                    self._unit, text, vector=SEARCH_VECTOR, key=Product.id
                )
                return await _OLDEST_FIRST.page(self._unit.session, statement.where(found), wanted)
        except TimeoutError as error:
            message = (
                f"The search took over {_SEARCH_SECONDS:g} s and was stopped. Search for longer "
                "words, or read the list without `q`."
            )
            raise SearchTooSlow(message) from error

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Product]:
        """Lock a page of products until the commit, and return them, ordered by id.

        All transactions lock products in this order.
        """
        statement = locked_rows(select(Product), Product.id, after=after, limit=limit)
        return (await self._unit.session.scalars(statement)).all()

    async def reserve(self, wanted: Mapping[UUID, int]) -> Mapping[UUID, Offer]:
        """Lock the `wanted` products, take the quantities, and return the offers by product id.

        The result holds no unknown ids.
        """
        rows = await self._unit.fetch(_RESERVE, list(wanted), list(wanted.values()))
        return {
            row["product_id"]: Offer(
                product_id=row["product_id"],
                sku=row["sku"],
                name=row["name"],
                price=Money(row["price_amount"], row["price_currency"]),
                active=row["active"],
                available=row["available"],
                stock=row["stock"],
                version=row["version"],
                reserved_at=row["reserved_at"],
            )
            for row in rows
        }

    async def release(self, returned: Mapping[UUID, int]) -> Sequence[StockLevel]:
        """Lock the products, give the quantities back, and return the products' new stock."""
        rows = await self._unit.fetch(_RELEASE, list(returned), list(returned.values()))
        return [
            StockLevel(
                product_id=row["product_id"],
                sku=row["sku"],
                stock=row["stock"],
                version=row["version"],
            )
            for row in rows
        ]
