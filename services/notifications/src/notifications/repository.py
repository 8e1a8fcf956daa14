"""All SQL on notifications."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.statements import fetch
from notifications.models import Notification

_TOLD = """
    SELECT source_event_id, user_id FROM notifications
    WHERE source_event_id = ANY($1::text[])
"""
# One statement whatever the size of the batch, so that it is prepared once.
_INSERT = """
    INSERT INTO notifications
        (id, user_id, event_id, source_event_id, type, title, body, data)
    SELECT id, user_id, event_id, source_event_id, type, title, body, data
    FROM json_to_recordset($1::json) AS r (
        id uuid, user_id uuid, event_id bigint, source_event_id text,
        type text, title text, body text, data jsonb
    )
    RETURNING created_at
"""


class NotificationRepository:
    """Reads and writes notifications in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def told(self, source_event_ids: Collection[str]) -> set[tuple[str, UUID]]:
        """Find who was told of these events already, as pairs of event and user."""
        found = await fetch(self._session, _TOLD, list(source_event_ids))
        return {(row["source_event_id"], row["user_id"]) for row in found}

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> datetime:
        """Write new notifications; answers the time that all of them were created at."""
        written = await fetch(self._session, _INSERT, json.dumps(rows, default=str))
        created_at: datetime = written[0]["created_at"]
        return created_at

    async def page(
        self, user_id: UUID, *, before: int | None, unread: bool | None, limit: int
    ) -> Sequence[Notification]:
        """Read a user's notifications, newest first, from below the event id `before`."""
        query = select(Notification).where(Notification.user_id == user_id)
        if before is not None:
            query = query.where(Notification.event_id < before)
        if unread is not None:
            query = query.where(Notification.read_at.is_(None) == unread)
        query = query.order_by(Notification.event_id.desc()).limit(limit)
        return (await self._session.scalars(query)).all()

    async def count_unread(self, user_id: UUID) -> int:
        """Count what a user has not read."""
        query = select(func.count()).where(
            Notification.user_id == user_id, Notification.read_at.is_(None)
        )
        return (await self._session.execute(query)).scalar_one()

    async def mark_read(self, user_id: UUID, notification_id: UUID) -> Notification | None:
        """Mark one as read, if it is the user's; the first time stays."""
        mine = (Notification.id == notification_id, Notification.user_id == user_id)
        await self._session.execute(
            update(Notification)
            .where(*mine, Notification.read_at.is_(None))
            .values(read_at=func.now())
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(select(Notification).where(*mine))).one_or_none()
