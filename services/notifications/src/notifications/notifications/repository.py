"""All SQL on notifications."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import func, select, update

from chassis.database import new_id
from chassis.database.unit import Unit
from chassis.jobs.retention import rows_older_than
from chassis.messaging import insert_events
from chassis.paging import BigSerial, ListOrder, PageRequest, PageRows, Position, each_page
from notifications.feed.repository import WRITE_ITEMS
from notifications.kinds.models import Channel
from notifications.notifications.models import NOTIFICATIONS_KEPT, Notification
from notifications.preferences.repository import WANTED
from notifications.recipients.repository import HAS_ADDRESS
from notifications.webhooks.repository import HAS_WEBHOOK

_COLUMNS = """
    id uuid, user_id uuid, source_event_id text, type text, title text, body text, data jsonb,
    created_at timestamptz, category text, channels text[], item_type text, item jsonb,
    traceparent text, caused_at timestamptz, event json
"""
_ROWS = "SELECT * FROM json_to_recordset($1::json) AS r (place integer, {columns})"
# Each copy is a row of `_ROWS` as text, with ids of its own.
_COPIES = """
    SELECT c.place, r.*
    FROM unnest($2::integer[], $3::uuid[], $4::uuid[], $5::uuid[])
        WITH ORDINALITY AS c (template, id, user_id, outbox_id, place)
    JOIN json_to_recordset($1::json) AS t (
        template integer, row text, id text, user_id text, outbox_id text
    ) USING (template)
    CROSS JOIN LATERAL json_to_record(
        replace(replace(replace(
            t.row, t.id, c.id::text), t.user_id, c.user_id::text), t.outbox_id, c.outbox_id::text
        )::json
    ) AS r ({columns})
"""
# One statement for any number of notifications, so that it is prepared once. Its parts share one
# snapshot, which does not see what another transaction writes at the same time. Then the unique
# constraint on event and user fails the statement: nothing is written twice.
_WRITE = """
    WITH draft AS ({draft}),
    {wanted},
    fresh AS (
        SELECT w.*, 'in_app' = ANY (w.wanted) AS listed FROM wanted AS w
        WHERE w.wanted <> '{}' AND NOT EXISTS (
            SELECT FROM notifications AS n
            WHERE n.source_event_id = w.source_event_id AND n.user_id = w.user_id
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
    SELECT w.place, w.wanted, numbered.event_id, ARRAY(
        SELECT channel FROM unnest(w.wanted) AS channel WHERE CASE channel
            WHEN 'email' THEN {has_address} WHEN 'webhook' THEN {has_webhook} ELSE true
        END
    ) AS reachable
    FROM fresh AS w JOIN heads USING (user_id) LEFT JOIN numbered USING (place)
    ORDER BY place
"""
_WRITE = (
    _WRITE.replace("{wanted}", WANTED)
    .replace("{items}", WRITE_ITEMS)
    .replace("{events}", insert_events("numbered"))
    .replace("{has_address}", HAS_ADDRESS)
    .replace("{has_webhook}", HAS_WEBHOOK)
)
_WRITE_ROWS = _WRITE.replace("{draft}", _ROWS.replace("{columns}", _COLUMNS))
_WRITE_COPIES = _WRITE.replace("{draft}", _COPIES.replace("{columns}", _COLUMNS))
_COUNT_UNREAD = """
    SELECT count(*) AS count FROM notifications WHERE user_id = $1 AND read_at IS NULL
"""
# The newest first: they are what the user sees. Two requests lock rows in the same order.
_READ_ALL = """
    WITH marked AS (
        UPDATE notifications SET read_at = now(), updated_at = now()
        WHERE id = ANY (ARRAY(
            SELECT id FROM notifications
            WHERE user_id = $1 AND read_at IS NULL AND event_id <= $2
            ORDER BY event_id DESC LIMIT $3 FOR NO KEY UPDATE
        ))
        RETURNING event_id
    )
    SELECT count(*) AS count, max(event_id) AS newest FROM marked
"""
_prune = rows_older_than(NOTIFICATIONS_KEPT, "notifications", "created_at")
_ERASE = """
    DELETE FROM notifications WHERE id = ANY (ARRAY(
        SELECT id FROM notifications WHERE user_id = $1 ORDER BY event_id LIMIT $2
    ))
"""

_CAUSED = """
    SELECT id AS position, CASE WHEN type LIKE '{types}' THEN user_id::text END AS key,
        source_event_id AS event_id, created_at AS at
    FROM notifications WHERE id > $1 ORDER BY id LIMIT $2
"""
CAUSED_BY_ORDERS = _CAUSED.replace("{types}", "order.%")
"""Each notification of an order's event, with the id of that event, for ``slipway verify``."""
CAUSED_BY_USERS = _CAUSED.replace("{types}", "user.%")
"""Likewise of an account's events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one notification.

    Attributes:
        place: its place in the rows to write, from 0.
        event_id: its place in the feed; None if the user has switched ``in_app`` off.
        channels: those that the user wants; never empty.
        reachable: those of `channels` for which the user has any receiver.
    """

    place: int
    event_id: int | None
    channels: frozenset[Channel]
    reachable: frozenset[Channel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """How many notifications were marked as read, and the event id of the newest of them."""

    count: int
    newest: int | None


class FeedPosition(Position):
    """The position of a notification in the list: its place in the user's feed."""

    event_id: BigSerial


# Event ids are unique within a user's feed.
_NEWEST_FIRST = ListOrder(FeedPosition, Notification.event_id, descending=True)


class NotificationRepository:
    """Reads and writes notifications in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def write(self, rows: Sequence[Mapping[str, Any]]) -> list[Written]:
        """Write notifications with their feed items and their events, in the order of `rows`.

        Left out are those whose user was already notified of their event, has switched all of their
        channels off, or was deleted. Of a user who has switched ``in_app`` off nothing is written.

        Args:
            rows: the columns of the part ``draft`` of the statement, without ``place``.

        Returns:
            Those that are sent on a channel, in the same order.
        """
        placed = [{**row, "place": place} for place, row in enumerate(rows)]
        written = await self._unit.fetch(_WRITE_ROWS, _json(placed))
        return [
            Written(
                place=row["place"],
                event_id=row["event_id"],
                channels=frozenset(map(Channel, row["wanted"])),
                reachable=frozenset(map(Channel, row["reachable"])),
            )
            for row in written
        ]

    async def write_copies(
        self, templates: Sequence[Mapping[str, Any]], users: Sequence[Collection[UUID]]
    ) -> list[UUID]:
        """Write a copy of each template for each of its users, as ``write`` does.

        PostgreSQL makes the copies, since to make thousands of them here would hold up the event
        loop: it replaces the ids.

        Args:
            templates: rows as for ``write``. Their ids occur nowhere else, and are not stored.
            users: for each template.

        Returns:
            The user of each copy that was written.
        """
        given = [
            {
                "template": number,
                "row": _json(row),
                "id": row["id"],
                "user_id": row["user_id"],
                "outbox_id": row["event"]["id"],
            }
            for number, row in enumerate(templates)
        ]
        copies = [(number, user) for number, each in enumerate(users) for user in each]
        written = await self._unit.fetch(
            _WRITE_COPIES,
            _json(given),
            [number for number, _ in copies],
            [new_id() for _ in copies],
            [user for _, user in copies],
            [new_id() for _ in copies],
        )
        # Places begin at 1.
        return [copies[row["place"] - 1][1] for row in written if row["event_id"] is not None]

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
        [row] = await self._unit.fetch(_COUNT_UNREAD, user_id)
        return int(row["count"])

    async def mark_all_read(self, user_id: UUID, *, last_event_id: int, limit: int) -> Marked:
        """Mark unread notifications of a user as read, at most `limit`, the newest first.

        Those after `last_event_id` stay as they are.
        """
        [row] = await self._unit.fetch(_READ_ALL, user_id, last_event_id, limit)
        return Marked(count=row["count"], newest=row["newest"])

    async def prune(self, *, limit: int) -> int:
        """Delete notifications older than NOTIFICATIONS_KEPT, at most `limit`; return how many."""
        return await _prune(self._unit, limit)

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


def _json(value: object) -> str:
    return to_json(value, fallback=str).decode()
