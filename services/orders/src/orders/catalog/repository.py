"""All SQL on products."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.statements import fetch
from chassis.http.pages import Cursor
from orders.catalog.models import Money, Offer, Product

# Locks the wanted products in the order of their ids, then takes what is wanted, at once. All that
# move stock lock in this order, so two of them never deadlock. The locked rows are the newest ones,
# whatever the statement's snapshot saw; one of which too few are left is answered, and not changed.
_RESERVE = """
    WITH locked AS (
        SELECT p.id, p.sku, p.name, p.price_amount, p.price_currency, p.stock, wanted.quantity
        FROM products AS p
        JOIN unnest($1::uuid[], $2::integer[]) AS wanted (id, quantity) ON wanted.id = p.id
        ORDER BY p.id
        FOR NO KEY UPDATE OF p
    ), taken AS (
        UPDATE products AS p
        SET stock = p.stock - locked.quantity, version = p.version + 1, updated_at = now()
        FROM locked
        WHERE p.id = locked.id AND p.stock >= locked.quantity
        RETURNING p.id, p.stock, p.version
    )
    SELECT locked.id AS product_id, sku, name, price_amount, price_currency,
        locked.stock AS available, taken.stock, taken.version
    FROM locked LEFT JOIN taken ON taken.id = locked.id
"""


class ProductRepository:
    """The products of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, product: Product) -> Product | None:
        """Insert `product`; None where its SKU is taken, also by a transaction under way."""
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
                version=product.version,
            )
            .on_conflict_do_nothing(index_elements=[Product.sku])
            .returning(Product)
        )
        added: Product | None = await self._session.scalar(statement)
        return added

    async def find(self, product_id: UUID) -> Product | None:
        """Find a product."""
        return await self._session.scalar(select(Product).where(Product.id == product_id))

    async def page(
        self, *, text: str | None, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Product], Cursor | None]:
        """Give products, the oldest first, and the place where the next page begins.

        Args:
            text: only those with it in their name or SKU, in any case; taken literally.
            limit: of the page.
            after: where the page before ended.
        """
        statement = select(Product).order_by(Product.created_at, Product.id)
        if text:
            statement = statement.where(
                or_(
                    Product.name.icontains(text, autoescape=True),
                    Product.sku.icontains(text, autoescape=True),
                )
            )
        if after is not None:
            place = tuple_(Product.created_at, Product.id)
            statement = statement.where(place > (after.at, after.id))
        rows = (await self._session.scalars(statement.limit(limit + 1))).all()
        if len(rows) <= limit:
            return (rows, None)
        last = rows[limit - 1]
        return (rows[:limit], Cursor(at=last.created_at, id=last.id))

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Product]:
        """Give products in the order of their ids, which stay as they are until the end.

        It is the order in which all lock them.
        """
        statement = select(Product).order_by(Product.id).limit(limit)
        if after is not None:
            statement = statement.where(Product.id > after)
        return (await self._session.scalars(statement.with_for_update(key_share=True))).all()

    async def reserve(self, wanted: Mapping[UUID, int]) -> Mapping[UUID, Offer]:
        """Lock the `wanted` products and take the quantities; unknown ids are not in the answer."""
        rows = await fetch(self._session, _RESERVE, list(wanted), list(wanted.values()))
        return {
            row["product_id"]: Offer(
                product_id=row["product_id"],
                sku=row["sku"],
                name=row["name"],
                price=Money(row["price_amount"], row["price_currency"]),
                available=row["available"],
                stock=row["stock"],
                version=row["version"],
            )
            for row in rows
        }
