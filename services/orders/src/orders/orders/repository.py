"""All SQL on orders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from chassis.actor import Actor
from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition, locked_rows
from orders.orders.models import TRANSITIONS, Order, OrderRecord, OrderStatus

_NEWEST_FIRST = ListOrder(TimePosition, Order.created_at, Order.id, descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders to list: without arguments, all."""

    customer_id: UUID | None = None
    status: OrderStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


_INSERT_ORDER = """
    INSERT INTO orders (id, customer_id, status, total_amount, total_currency, shipping_address,
        version, created_at, updated_at, expires)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, true)
"""
_INSERT_LINES = """
    INSERT INTO order_lines (order_id, product_id, position, name, quantity,
        unit_price_amount, unit_price_currency, created_at, updated_at)
    SELECT $1, line.product_id, line.position, line.name, line.quantity, line.price, $2, $3, $3
    FROM unnest($4::uuid[], $5::smallint[], $6::text[], $7::integer[], $8::bigint[])
        AS line (product_id, position, name, quantity, price)
"""
_INSERT_HISTORY = """
    INSERT INTO order_history (order_id, version, status, actor_kind, actor_id, created_at,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
"""

_RETURNING = ", ".join(f"'{rule.target}'" for rule in TRANSITIONS.values() if rule.returns_stock)

VERSIONS = """
    SELECT id AS position, id::text AS key, id::text AS subject, version, created_at,
        updated_at AS changed_at
    FROM orders WHERE id > $1 ORDER BY id LIMIT $2
"""
"""Each order with its version, for ``slipway verify``."""

SOLD = """
    SELECT o.id AS position, l.product_id::text AS key, l.product_id::text AS subject,
        -l.quantity AS delta, o.created_at AS at
    FROM (SELECT id, created_at FROM orders WHERE id > $1 ORDER BY id LIMIT $2) AS o
    LEFT JOIN order_lines AS l ON l.order_id = o.id
    ORDER BY o.id
"""
"""What each order took from the stock of products, for ``slipway verify``."""

RETURNED = f"""
    SELECT o.id AS position, l.product_id::text AS key, l.product_id::text AS subject,
        l.quantity AS delta, h.created_at AS at
    FROM (SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT $2) AS o
    LEFT JOIN order_history AS h ON h.order_id = o.id AND h.status IN ({_RETURNING})
    LEFT JOIN order_lines AS l ON l.order_id = h.order_id
    ORDER BY o.id
"""  # noqa: S608 - of constants
"""What each cancelled order gave back to the stock of products, for ``slipway verify``."""


class OrderRepository:
    """The orders of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def add(self, order: OrderRecord, *, by: Actor) -> None:
        """Insert a new order with its lines and history at the end of the transaction."""
        self._unit.defer(
            _INSERT_ORDER,
            order.id,
            order.customer_id,
            order.status,
            order.total.amount,
            order.total.currency,
            json.dumps(order.shipping_address),
            order.version,
            order.created_at,
        )
        self._unit.defer(
            _INSERT_LINES,
            order.id,
            order.total.currency,
            order.created_at,
            [line.product_id for line in order.items],
            [line.position for line in order.items],
            [line.name for line in order.items],
            [line.quantity for line in order.items],
            [line.unit_price.amount for line in order.items],
        )
        self._unit.defer(
            _INSERT_HISTORY,
            order.id,
            order.version,
            order.status,
            by.kind,
            by.user_id,
            order.created_at,
        )

    async def find(self, order_id: UUID, *, customer_id: UUID | None) -> Order | None:
        """Return an order with its lines, or None. `customer_id` limits it to that customer's."""
        statement = select(Order).where(Order.id == order_id).options(selectinload(Order.items))
        if customer_id is not None:
            statement = statement.where(Order.customer_id == customer_id)
        return await self._unit.session.scalar(statement)

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Order]:
        """Lock a page of orders until the commit. Return them with their lines, ordered by id."""
        statement = locked_rows(
            select(Order).options(selectinload(Order.items)), Order.id, after=after, limit=limit
        )
        return (await self._unit.session.scalars(statement)).all()

    async def page(
        self, wanted: PageRequest[TimePosition], *, only: OrderFilter
    ) -> PageRows[Order, TimePosition]:
        """Return a page of orders with their lines, newest first."""
        statement = select(Order).options(selectinload(Order.items))
        if only.customer_id is not None:
            statement = statement.where(Order.customer_id == only.customer_id)
        if only.status is not None:
            statement = statement.where(Order.status == only.status)
        if only.created_after is not None:
            statement = statement.where(Order.created_at > only.created_after)
        if only.created_before is not None:
            statement = statement.where(Order.created_at < only.created_before)
        return await _NEWEST_FIRST.page(self._unit.session, statement, wanted)
