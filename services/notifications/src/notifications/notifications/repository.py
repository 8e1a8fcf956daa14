"""All SQL on notifications."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from chassis.database.unit import Unit
from chassis.messaging import insert_events
from chassis.paging import BigSerial, ListOrder, PageRequest, PageRows, Position, each_page
from notifications.feed.repository import WRITE_ITEMS
from notifications.notifications.models import Notification

# One statement for any number of notifications, so that it is prepared once. Its parts share one
# snapshot, which does not see what another transaction writes at the same time. Then the unique
# constraint on event and user fails the statement: nothing is written twice.
_WRITE = """
    WITH draft AS (
        SELECT * FROM json_to_recordset($1::json) AS r (
            place integer, id uuid, user_id uuid, source_event_id text, type text, title text,
            body text, data jsonb, created_at timestamptz, item_type text, item jsonb,
            traceparent text, event json
        )
    ),
    fresh AS (
        SELECT * FROM draft AS d WHERE NOT EXISTS (
            SELECT FROM notifications AS n
            WHERE n.source_event_id = d.source_event_id AND n.user_id = d.user_id
        )
    ),
    {items},
    written AS (
        INSERT INTO notifications
            (id, user_id, event_id, source_event_id, type, title, body, data, created_at)
        SELECT id, user_id, event_id, source_event_id, type, title, body, data, created_at
        FROM numbered
    ),
    published AS ({events})
    SELECT place, event_id FROM numbered ORDER BY place
"""
_WRITE = _WRITE.replace("{items}", WRITE_ITEMS).replace("{events}", insert_events("numbered"))


_ERASE = """
    DELETE FROM notifications WHERE id = ANY (ARRAY(
        SELECT id FROM notifications WHERE user_id = $1 ORDER BY event_id LIMIT $2
    ))
"""


class FeedPosition(Position):
    """The position of a notification in the list: its place in the user's feed."""

    event_id: BigSerial


# Event ids are unique within a user's feed.
_NEWEST_FIRST = ListOrder(FeedPosition, Notification.event_id, descending=True)


class NotificationRepository:
    """Reads and writes notifications in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def write(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
        """Write notifications with their feed items and their events, in the order of `rows`.

        Those whose user was already notified of their event are left out.

        Args:
            rows: the columns of the part ``draft`` of the statement, without ``place``.

        Returns:
            The place in `rows` and the event id of each that was written, in the same order.
        """
        placed = [{**row, "place": place} for place, row in enumerate(rows)]
        written = await self._unit.fetch(_WRITE, json.dumps(placed, default=str))
        return [(row["place"], row["event_id"]) for row in written]

    async def page(
        self, user_id: UUID, wanted: PageRequest[FeedPosition], *, unread: bool | None
    ) -> PageRows[Notification, FeedPosition]:
        """Return a page of a user's notifications, newest first."""
        query = select(Notification).where(Notification.user_id == user_id)
        if unread is not None:
            query = query.where(Notification.read_at.is_(None) == unread)
        return await _NEWEST_FIRST.page(self._unit.session, query, wanted)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Notification]:
        """Yield all notifications of a user, newest first."""
        async for page in each_page(lambda wanted: self.page(user_id, wanted, unread=None)):
            for notification in page:
                yield notification

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete notifications of a user, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE, user_id, limit)

    async def count_unread(self, user_id: UUID) -> int:
        """Return how many notifications a user has not read."""
        query = select(func.count()).where(
            Notification.user_id == user_id, Notification.read_at.is_(None)
        )
        return (await self._unit.session.execute(query)).scalar_one()

    async def mark_read(self, user_id: UUID, notification_id: UUID) -> Notification | None:
        """Mark a user's notification as read; return it, or None if the user has none such.

        If it was read before, its first `read_at` stays.
        """
        mine = (Notification.id == notification_id, Notification.user_id == user_id)
        await self._unit.session.execute(
            update(Notification)
            .where(*mine, Notification.read_at.is_(None))
            .values(read_at=func.now())
            .execution_options(synchronize_session=False)
        )
        return (await self._unit.session.scalars(select(Notification).where(*mine))).one_or_none()
