"""All SQL on the feed."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.statements import fetch

# In the order of user ids, which every transaction keeps: so two of them can't deadlock.
_TAKE = """
    INSERT INTO feed_heads (user_id, feed_seq)
    SELECT u.user_id, u.number
    FROM unnest($1::uuid[], $2::bigint[]) AS u (user_id, number)
    ORDER BY u.user_id
    ON CONFLICT (user_id) DO UPDATE
    SET feed_seq = feed_heads.feed_seq + excluded.feed_seq, updated_at = now()
    RETURNING user_id, feed_seq
"""
# One statement whatever the size of the batch, so that it is prepared once.
_INSERT = """
    INSERT INTO feed_entries (user_id, event_id, type, data, traceparent)
    SELECT user_id, event_id, type, data, traceparent
    FROM json_to_recordset($1::json) AS r (
        user_id uuid, event_id bigint, type text, data jsonb, traceparent text
    )
"""
_EXTENT = text(
    """
    SELECT coalesce((SELECT feed_seq FROM feed_heads WHERE user_id = :user), 0) AS head,
           (SELECT min(event_id) FROM feed_entries WHERE user_id = :user) AS oldest
    """
)
_AFTER = """
    SELECT p.user_id, p.position, e.event_id, e.type, e.data, e.traceparent
    FROM unnest($1::uuid[], $2::bigint[]) AS p (user_id, position)
    CROSS JOIN LATERAL (
        SELECT event_id, type, data::text AS data, traceparent
        FROM feed_entries
        WHERE user_id = p.user_id AND event_id > p.position
        ORDER BY event_id
        LIMIT $3
    ) AS e
    ORDER BY p.user_id, p.position, e.event_id
"""
_AHEAD = """
    SELECT h.user_id
    FROM unnest($1::uuid[], $2::bigint[]) AS p (user_id, position)
    JOIN feed_heads AS h ON h.user_id = p.user_id AND h.feed_seq > p.position
"""

type Place = tuple[UUID, int]
"""A user, and an event id in the user's feed that was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry as it is sent: `data` is JSON already."""

    event_id: int
    type: str
    data: str
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How far a user's feed goes.

    Attributes:
        head: the newest event id; 0 where there was none yet.
        oldest: the oldest that is kept; None where nothing is.
    """

    head: int
    oldest: int | None


class FeedRepository:
    """Reads and writes feeds in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def take(self, numbers: Mapping[UUID, int]) -> dict[UUID, int]:
        """Take so many event ids for each user; answers the last one of each.

        The rows stay locked to the end of the transaction.
        """
        users = list(numbers)
        taken = await fetch(self._session, _TAKE, users, [numbers[user] for user in users])
        return {row["user_id"]: row["feed_seq"] for row in taken}

    async def insert(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write new entries."""
        await fetch(self._session, _INSERT, json.dumps(entries, default=str))

    async def extent(self, user_id: UUID) -> Extent:
        """Read how far a user's feed goes."""
        row = (await self._session.execute(_EXTENT, {"user": user_id})).one()
        return Extent(head=row.head, oldest=row.oldest)

    async def after(self, places: Collection[Place], *, page: int) -> dict[Place, list[Item]]:
        """Read the next items behind each of `places`, in order, at most `page` for each."""
        rows = await fetch(self._session, _AFTER, *_arrays(places), page)
        found: dict[Place, list[Item]] = {}
        for row in rows:
            user_id, position, event_id, kind, data, traceparent = row
            item = Item(event_id=event_id, type=kind, data=data, traceparent=traceparent)
            found.setdefault((user_id, position), []).append(item)
        return found

    async def ahead(self, places: Collection[Place]) -> set[UUID]:
        """Find the users whose feed has gone beyond the place that is named."""
        rows = await fetch(self._session, _AHEAD, *_arrays(places))
        return {row["user_id"] for row in rows}


def _arrays(places: Collection[Place]) -> tuple[list[UUID], list[int]]:
    return [user for user, _ in places], [position for _, position in places]
