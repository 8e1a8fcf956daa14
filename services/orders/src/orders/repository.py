"""All SQL on orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    insert,
    join,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from sqlalchemy.sql import Select

from chassis.http.pages import Cursor
from orders.models import Order, OrderLine, OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders of a customer to list."""

    status: OrderStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def _insertion() -> Select[Any]:
    """Insert an order and its lines in one round trip; answers the times that the database set."""
    placed = (
        insert(Order)
        .values(
            id=bindparam("order_id", type_=Uuid),
            customer_id=bindparam("customer", type_=Uuid),
            status=bindparam("order_status", type_=Text),
            total_amount=bindparam("amount", type_=BigInteger),
            total_currency=bindparam("currency", type_=Text),
            shipping_address=bindparam("address", type_=JSONB),
            version=bindparam("order_version", type_=Integer),
        )
        .returning(Order.id, Order.created_at, Order.updated_at)
        .cte("placed")
    )
    lines = (
        func.unnest(
            bindparam("product_ids", type_=ARRAY(Uuid)),
            bindparam("positions", type_=ARRAY(SmallInteger)),
            bindparam("names", type_=ARRAY(Text)),
            bindparam("quantities", type_=ARRAY(Integer)),
            bindparam("prices", type_=ARRAY(BigInteger)),
        )
        .table_valued(
            column("product_id", Uuid),
            column("position", SmallInteger),
            column("name", Text),
            column("quantity", Integer),
            column("price", BigInteger),
            name="lines",
        )
        .render_derived()
    )
    line_table = OrderLine.__table__.c
    added = (
        insert(OrderLine)
        .from_select(
            [
                line_table.order_id,
                line_table.product_id,
                line_table.position,
                line_table.name,
                line_table.quantity,
                line_table.unit_price_amount,
                line_table.unit_price_currency,
            ],
            select(
                placed.c.id,
                lines.c.product_id,
                lines.c.position,
                lines.c.name,
                lines.c.quantity,
                lines.c.price,
                bindparam("currency", type_=Text),
            ).select_from(join(placed, lines, true())),
        )
        .cte("added")
    )
    return select(placed.c.created_at, placed.c.updated_at).add_cte(added)


_INSERT = _insertion()


class OrderRepository:
    """The orders of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, order: Order) -> None:
        """Insert a new order with its lines, and give it its times."""
        result = await self._session.execute(
            _INSERT,
            {
                "order_id": order.id,
                "customer": order.customer_id,
                "order_status": order.status,
                "amount": order.total.amount,
                "currency": order.total.currency,
                "address": order.shipping_address,
                "order_version": order.version,
                "product_ids": [line.product_id for line in order.items],
                "positions": [line.position for line in order.items],
                "names": [line.name for line in order.items],
                "quantities": [line.quantity for line in order.items],
                "prices": [line.unit_price.amount for line in order.items],
            },
        )
        order.created_at, order.updated_at = result.one()

    async def find(self, order_id: UUID, *, customer_id: UUID | None) -> Order | None:
        """Find an order with its lines; with `customer_id` only an order of that customer."""
        statement = select(Order).where(Order.id == order_id).options(selectinload(Order.items))
        if customer_id is not None:
            statement = statement.where(Order.customer_id == customer_id)
        return await self._session.scalar(statement)

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Order]:
        """Give orders with their lines, in the order of ids; they stay as they are to the end."""
        statement = select(Order).order_by(Order.id).limit(limit)
        if after is not None:
            statement = statement.where(Order.id > after)
        locked = statement.with_for_update(of=Order, key_share=True)
        return (await self._session.scalars(locked.options(selectinload(Order.items)))).all()

    async def page(
        self, customer_id: UUID, *, wanted: OrderFilter, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Order], Cursor | None]:
        """Give a customer's orders, the newest first, and where the next page begins."""
        statement = (
            select(Order)
            .where(Order.customer_id == customer_id)
            .order_by(Order.created_at.desc(), Order.id.desc())
            .options(selectinload(Order.items))
        )
        if wanted.status is not None:
            statement = statement.where(Order.status == wanted.status)
        if wanted.created_after is not None:
            statement = statement.where(Order.created_at > wanted.created_after)
        if wanted.created_before is not None:
            statement = statement.where(Order.created_at < wanted.created_before)
        if after is not None:
            place = tuple_(Order.created_at, Order.id)
            statement = statement.where(place < (after.at, after.id))
        rows = (await self._session.scalars(statement.limit(limit + 1))).all()
        if len(rows) <= limit:
            return (rows, None)
        last = rows[limit - 1]
        return (rows[:limit], Cursor(at=last.created_at, id=last.id))
