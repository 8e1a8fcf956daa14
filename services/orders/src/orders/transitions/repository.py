"""All SQL on the status of orders and its history."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
from sqlalchemy import select

from chassis.actor import Actor
from chassis.database.unit import Unit
from chassis.messaging import insert_events
from orders.catalog.models import Money
from orders.orders.models import (
    OPEN,
    LineRecord,
    Order,
    OrderHistoryEntry,
    OrderRecord,
    OrderStatus,
)
from orders.transitions.models import Cause, ChangedOrder, OpenOrder, ReadOrder

# Orders with their lines, which never change.
_READ = """
    WITH found AS (
        SELECT id, customer_id, status, total_amount, total_currency, shipping_address, version,
            created_at, updated_at
        FROM orders
        WHERE {wanted} AND ($2::uuid IS NULL OR customer_id = $2)
        {locked}
    )
    SELECT found.*, clock_timestamp() AS at, (
        SELECT json_agg(
            json_build_array(product_id, name, quantity, unit_price_amount) ORDER BY position
        )
        FROM order_lines WHERE order_id = found.id
    ) AS lines
    FROM found
"""
_READ_AHEAD = _READ.format(wanted="id = $1", locked="")
_LOCK = _READ.format(wanted="id = ANY ($1::uuid[])", locked="ORDER BY id FOR NO KEY UPDATE")

# It locks the orders that no earlier statement has locked. The others read its rows, and so wait.
_ADVANCE = """
    UPDATE orders AS o
    SET status = change.status, version = change.version, updated_at = change.at
    FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[])
        WITH ORDINALITY AS change (id, status, version, at, reason, event, place)
    WHERE o.id = change.id
    RETURNING change.id, change.status, change.version, change.at, change.reason,
        change.event::json AS event, change.place
"""
# Its primary key rejects a version that somebody else has written since the order was read.
_NOTE = """
    INSERT INTO order_history (order_id, version, status, actor_kind, actor_id, reason, created_at,
        updated_at)
    SELECT id, version, status, $1, $2, reason, at, at FROM changed
"""
_GUARD = "pk_order_history"
_PUBLISH = insert_events("changed")
# The status is no parameter: a plan for any status would not use the index on expiring orders.
_UNCONFIRMED = """
    SELECT id AS order_id, version FROM orders
    WHERE expires AND status = 'placed' AND created_at < now() - $1::interval
    ORDER BY created_at, id
    LIMIT $2
"""

_OPEN_OF_INACTIVE = """
    SELECT o.id AS order_id, o.version
    FROM orders AS o JOIN customers AS c ON c.id = o.customer_id
    WHERE o.customer_id = $1 AND NOT c.is_active AND o.status = ANY ($2::text[])
    ORDER BY o.created_at, o.id
    LIMIT $3
"""

_LOCK_ADDRESSED = """
    SELECT o.id
    FROM orders AS o JOIN customers AS c ON c.id = o.customer_id
    WHERE o.customer_id = $1 AND c.is_deleted AND o.shipping_address IS NOT NULL
    ORDER BY o.id
    LIMIT $2
    FOR NO KEY UPDATE OF o
"""
# A customer's own words are personal data, too; that the customer cancelled is not. A separate
# statement has a newer snapshot, which shows what a transaction wrote that held the lock before.
_ANONYMISE = """
    WITH noted AS (
        UPDATE order_history SET reason = $3
        WHERE order_id = ANY ($1::uuid[]) AND actor_id = $2 AND reason IS NOT NULL
    )
    UPDATE orders SET shipping_address = NULL WHERE id = ANY ($1::uuid[])
"""


class TransitionRepository:
    """The status of orders in one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def read_ahead(
        self, order_id: UUID, *, customer_id: UUID | None
    ) -> Mapping[UUID, ReadOrder] | None:
        """Return an order without locking it, by id; None if the unit can't read ahead.

        If somebody changes the order before the commit, the commit raises OutdatedReadError.
        Arguments are those of ``lock``.
        """
        if not self._unit.may_fetch_ahead:
            return None
        rows = await self._unit.fetch_ahead(_READ_AHEAD, order_id, customer_id, guard=_GUARD)
        return _by_id(rows)

    async def lock(
        self, order_ids: Sequence[UUID], *, customer_id: UUID | None
    ) -> Mapping[UUID, ReadOrder]:
        """Lock orders until the commit, and return them with their lines, by id.

        All transactions lock orders in the order of their ids, and products after orders.

        Args:
            order_ids: the orders; those that do not exist are left out.
            customer_id: leave out, and do not lock, orders of other customers. None: no limit.
        """
        return _by_id(await self._unit.fetch(_LOCK, order_ids, customer_id))

    def advance(self, changed: Sequence[ChangedOrder], *, by: Actor) -> None:
        """Write orders, their history and their events at the end of the transaction.

        Args:
            changed: the orders.
            by: who changes them.
        """
        self._unit.defer(
            _ADVANCE,
            [one.order.id for one in changed],
            [one.order.status for one in changed],
            [one.order.version for one in changed],
            [one.order.updated_at for one in changed],
            [one.reason for one in changed],
            [json.dumps(one.event) for one in changed],
            name="changed",
        )
        self._unit.defer(_NOTE, by.kind, by.user_id)
        self._unit.defer(_PUBLISH)

    async def history(
        self, order_id: UUID, *, customer_id: UUID | None
    ) -> Sequence[OrderHistoryEntry] | None:
        """Return the history of an order, oldest first; None if the customer has no such order."""
        statement = (
            select(OrderHistoryEntry)
            .select_from(Order)
            .outerjoin(OrderHistoryEntry, OrderHistoryEntry.order_id == Order.id)
            .where(Order.id == order_id)
            .order_by(OrderHistoryEntry.version)
        )
        if customer_id is not None:
            statement = statement.where(Order.customer_id == customer_id)
        rows: Sequence[OrderHistoryEntry | None] = (
            await self._unit.session.scalars(statement)
        ).all()
        # An order that was placed by a release without history has one row, without an entry.
        return [row for row in rows if row is not None] if rows else None

    async def histories(
        self, order_ids: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[OrderHistoryEntry]]:
        """Return the histories of orders by id, each oldest first; an order may have none."""
        statement = (
            select(OrderHistoryEntry)
            .where(OrderHistoryEntry.order_id.in_(order_ids))
            .order_by(OrderHistoryEntry.order_id, OrderHistoryEntry.version)
        )
        found: dict[UUID, list[OrderHistoryEntry]] = {}
        for entry in await self._unit.session.scalars(statement):
            found.setdefault(entry.order_id, []).append(entry)
        return found

    async def unconfirmed(self, *, within: timedelta, limit: int) -> Sequence[OpenOrder]:
        """Return orders that were placed longer ago than `within` and not confirmed, oldest first.

        They are not locked.
        """
        rows = await self._unit.fetch(_UNCONFIRMED, within, limit)
        return [OpenOrder(**row) for row in rows]

    async def open_of_inactive(self, customer_id: UUID, *, limit: int) -> Sequence[OpenOrder]:
        """Return open orders of a customer; none if the customer is active. They are not locked."""
        rows = await self._unit.fetch(_OPEN_OF_INACTIVE, customer_id, list(OPEN), limit)
        return [OpenOrder(**row) for row in rows]

    async def anonymise(self, customer_id: UUID, *, limit: int) -> int:
        """Erase addresses and reasons from orders of a deleted account; return how many orders.

        Only orders that still have an address count. Their versions stay, because no event
        contains what is erased.
        """
        rows = await self._unit.fetch(_LOCK_ADDRESSED, customer_id, limit)
        ids = [row["id"] for row in rows]
        return await self._unit.execute(_ANONYMISE, ids, customer_id, Cause.CUSTOMER.value)


def _by_id(rows: Sequence[asyncpg.Record]) -> dict[UUID, ReadOrder]:
    if not rows:
        return {}
    at = max(row["at"] for row in rows)  # each has the time of its own lock
    return {row["id"]: ReadOrder(order=_order_in(row), at=at) for row in rows}


def _order_in(row: asyncpg.Record) -> OrderRecord:
    currency = row["total_currency"]
    return OrderRecord(
        id=row["id"],
        customer_id=row["customer_id"],
        status=OrderStatus(row["status"]),
        total=Money(row["total_amount"], currency),
        shipping_address=row["shipping_address"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        items=[
            LineRecord(
                product_id=UUID(product_id),
                position=position,
                name=name,
                quantity=quantity,
                unit_price=Money(amount, currency),
            )
            for position, (product_id, name, quantity, amount) in enumerate(row["lines"] or ())
        ],
    )
