"""All SQL on announcements, and on which of them each feed has taken in."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from chassis.database.unit import Unit
from chassis.jobs.retention import rows_older_than
from chassis.paging import BigSerial, ListOrder, PageRequest, PageRows, Position
from notifications.announcements.models import (
    ANNOUNCEMENTS_KEPT,
    MOST_MISSED,
    Advanced,
    Announcement,
    Recent,
)

# Its holder alone inserts. Without it a transaction with a lower number could commit after one with
# a higher number, and whoever has read up to the higher one would never read the lower one.
_LOCK = "notifications:announcements"
_INSERT = """
    INSERT INTO announcements (id, title, body, data, author_id, traceparent, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_WITHDRAW = """
    UPDATE announcements SET withdrawn_at = now(), updated_at = now()
    WHERE id = $1 AND withdrawn_at IS NULL
    RETURNING id
"""
_NEWEST = "SELECT coalesce(max(seq), 0) AS newest FROM announcements"
_RECENT = """
    SELECT id, seq, title, body, data::text AS data, created_at, traceparent,
        withdrawn_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS live
    FROM announcements ORDER BY seq DESC LIMIT $1
"""
# A user who has not joined yet, and one whose feed is closed, miss nothing.
_MISSED = """
    SELECT {columns} FROM recipients AS r LEFT JOIN feed_heads AS h USING (user_id)
    WHERE r.user_id = {users} AND h.is_closed IS NOT TRUE AND coalesce(h.announced, 0) < {newest}
"""
_ONE_HAS_MISSED = (
    _MISSED.replace("{columns}", "1")
    .replace("{users}", "$1")
    .replace("{newest}", "(SELECT max(seq) FROM announcements)")
)
# Every transaction locks heads in the order of user ids, so that two can't deadlock. Nothing is
# updated: a head that exists is only locked.
_LOCK_HEADS = """
    INSERT INTO feed_heads (user_id, feed_seq) {missed} ORDER BY r.user_id
    ON CONFLICT (user_id) DO UPDATE SET feed_seq = excluded.feed_seq WHERE false
""".replace(
    "{missed}",
    _MISSED.replace("{columns}", "r.user_id, 0")
    .replace("{users}", "ANY ($1::uuid[])")
    .replace("{newest}", "$2"),
)
# Under its lock a head is read again, so it has what the last holder of the lock took in.
_ADVANCE = """
    WITH before AS (
        SELECT user_id, announced, joined_at
        FROM feed_heads JOIN recipients USING (user_id)
        WHERE user_id = ANY ($1::uuid[]) AND announced < $2 AND NOT is_closed
        ORDER BY user_id FOR NO KEY UPDATE OF feed_heads
    )
    UPDATE feed_heads AS h SET announced = $2, updated_at = now()
    FROM before WHERE h.user_id = before.user_id
    RETURNING before.user_id, before.announced, before.joined_at
"""
_prune = rows_older_than(ANNOUNCEMENTS_KEPT, "announcements", "created_at")


class AnnouncementPosition(Position):
    """The position of an announcement in the list."""

    seq: BigSerial


_NEWEST_FIRST = ListOrder(AnnouncementPosition, Announcement.seq, descending=True)


class AnnouncementRepository:
    """Reads and writes announcements in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(
        self,
        announcement_id: UUID,
        *,
        title: str,
        body: str,
        data: dict[str, Any],
        author_id: UUID,
        traceparent: str | None,
        expires_at: datetime | None,
    ) -> None:
        """Store an announcement. Until the commit, every other one waits."""
        await self._unit.lock(_LOCK)
        await self._unit.execute(
            _INSERT,
            announcement_id,
            title,
            body,
            json.dumps(data),
            author_id,
            traceparent,
            expires_at,
        )

    async def find(self, announcement_id: UUID) -> Announcement | None:
        """Return an announcement; None if there is none such."""
        query = select(Announcement).where(Announcement.id == announcement_id)
        return (await self._unit.session.scalars(query)).one_or_none()

    async def page(
        self, wanted: PageRequest[AnnouncementPosition]
    ) -> PageRows[Announcement, AnnouncementPosition]:
        """Return a page of all announcements, newest first."""
        return await _NEWEST_FIRST.page(self._unit.session, select(Announcement), wanted)

    async def withdraw(self, announcement_id: UUID) -> bool:
        """Give an announcement to no further user; return False if that was done before."""
        return bool(await self._unit.fetch(_WITHDRAW, announcement_id))

    async def newest(self) -> int:
        """Return the number of the newest announcement; 0 if there is none."""
        [row] = await self._unit.fetch(_NEWEST)
        return int(row["newest"])

    async def has_missed(self, user_id: UUID) -> bool:
        """Return whether a user has announcements to take in."""
        return bool(await self._unit.fetch(_ONE_HAS_MISSED, user_id))

    async def recent(self) -> list[Recent]:
        """Return the newest announcements, newest first, at most MOST_MISSED."""
        rows = await self._unit.fetch(_RECENT, MOST_MISSED)
        return [Recent(**{**row, "data": json.loads(row["data"])}) for row in rows]

    async def advance(self, users: Collection[UUID], *, newest: int) -> list[Advanced]:
        """Lock the feeds of `users` until the commit, and mark that they have taken in all.

        Args:
            users: those who are not known, or whose feed is closed, are left out.
            newest: the number of the newest announcement that the transaction has read.

        Returns:
            Those who had not taken it in, each with what they had.
        """
        await self._unit.execute(_LOCK_HEADS, list(users), newest)
        rows = await self._unit.fetch(_ADVANCE, list(users), newest)
        return [Advanced(**row) for row in rows]

    async def prune(self, *, limit: int) -> int:
        """Delete announcements older than ANNOUNCEMENTS_KEPT, at most `limit`; return how many."""
        return await _prune(self._unit, limit)
