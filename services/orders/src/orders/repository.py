"""All SQL on orders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from chassis.database.statements import fetch
from chassis.http.pages import Cursor
from orders.models import Order, OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders of a customer to list."""

    status: OrderStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


# An order and its lines in one round trip; answers the times that the database set.
_INSERT = """
    WITH placed AS (
        INSERT INTO orders (id, customer_id, status, total_amount, total_currency,
            shipping_address, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        RETURNING id, created_at, updated_at
    ), added AS (
        INSERT INTO order_lines (order_id, product_id, position, name, quantity,
            unit_price_amount, unit_price_currency)
        SELECT placed.id, line.product_id, line.position, line.name, line.quantity, line.price, $5
        FROM placed CROSS JOIN unnest(
            $8::uuid[], $9::smallint[], $10::text[], $11::integer[], $12::bigint[]
        ) AS line (product_id, position, name, quantity, price)
    )
    SELECT created_at, updated_at FROM placed
"""


class OrderRepository:
    """The orders of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, order: Order) -> None:
        """Insert a new order with its lines, and give it its times."""
        [times] = await fetch(
            self._session,
            _INSERT,
            order.id,
            order.customer_id,
            order.status,
            order.total.amount,
            order.total.currency,
            json.dumps(order.shipping_address),
            order.version,
            [line.product_id for line in order.items],
            [line.position for line in order.items],
            [line.name for line in order.items],
            [line.quantity for line in order.items],
            [line.unit_price.amount for line in order.items],
        )
        order.created_at, order.updated_at = times

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
