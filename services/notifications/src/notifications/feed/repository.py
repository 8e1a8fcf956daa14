"""All SQL on the feed."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from chassis.database.statements import Statements
from notifications.feed.models import FEED_KEPT

WRITE_ITEMS = """
    heads AS (
        INSERT INTO feed_heads (user_id, feed_seq)
        SELECT user_id, count(*) FILTER (WHERE listed) FROM fresh GROUP BY user_id ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE
        SET feed_seq = feed_heads.feed_seq + excluded.feed_seq, updated_at = now()
        WHERE NOT feed_heads.is_closed
        RETURNING user_id, feed_seq
    ),
    numbered AS (
        SELECT fresh.*, feed_seq + 1
            - row_number() OVER (PARTITION BY user_id ORDER BY place DESC) AS event_id
        FROM fresh JOIN heads USING (user_id)
        WHERE listed
    ),
    entries AS (
        INSERT INTO feed_entries (user_id, event_id, type, data, traceparent, caused_at)
        SELECT user_id, event_id, item_type,
            item || jsonb_build_object('event_id', event_id), traceparent, caused_at
        FROM numbered
    )
"""
"""Parts of a statement that write items: they number the rows of its part ``fresh``.

The columns of ``fresh`` are place, user_id, listed, item_type, item (jsonb), traceparent and
caused_at. Rows that are not ``listed`` get no item. The part ``numbered`` has the listed rows with
their event ids, which follow the order of the places.

The part ``heads`` has the users of all rows, without those whose feed is closed. The statement
checks that under the lock of the user's head. So nothing is written for a feed that is closed while
the statement waits.

The users' heads stay locked until the transaction ends, so write items last. Every transaction
locks the heads in the order of user ids, so that two can't deadlock.
"""
_EXTENT = """
    SELECT coalesce((SELECT feed_seq FROM feed_heads WHERE user_id = $1), 0) AS head,
           (SELECT min(event_id) FROM feed_entries WHERE user_id = $1) AS oldest
"""
# The arrays stand in subqueries, so that their lengths are unknown to the planner. It would compare
# a plan for one user, which is usual, with one for ten, as it assumes, and plan each page anew:
# four times the cost of a page.
_AFTER = """
    SELECT p.user_id, p.position, e.event_id, e.type, e.data, e.traceparent, e.caused_at
    FROM unnest((SELECT $1::uuid[]), (SELECT $2::bigint[])) AS p (user_id, position)
    CROSS JOIN LATERAL (
        SELECT event_id, type, data::text AS data, traceparent,
            extract(epoch FROM caused_at)::float8 AS caused_at
        FROM feed_entries
        WHERE user_id = p.user_id AND event_id > p.position
        ORDER BY event_id
        LIMIT $3
    ) AS e
    ORDER BY p.user_id, p.position, e.event_id
"""
_AHEAD = """
    SELECT h.user_id
    FROM unnest((SELECT $1::uuid[]), (SELECT $2::bigint[])) AS p (user_id, position)
    JOIN feed_heads AS h ON h.user_id = p.user_id AND h.feed_seq > p.position
    UNION ALL
    SELECT NULL WHERE EXISTS (SELECT FROM announcements WHERE seq > $3)
"""

# Delete all entries of a user up to the newest expired one. Deleting by time alone could leave a
# gap: the times of two transactions may be in another order than their event ids.
_PRUNE = """
    WITH expired AS (
        SELECT user_id, max(event_id) AS upto FROM (
            SELECT user_id, event_id FROM feed_entries WHERE created_at < now() - $1::interval
            ORDER BY created_at LIMIT $2
        ) AS oldest
        GROUP BY user_id
    )
    DELETE FROM feed_entries AS f USING expired AS x
    WHERE f.user_id = x.user_id AND f.event_id <= x.upto
    RETURNING 1
"""

# It also inserts the head of a user who was never notified. Without a row, nothing would be locked.
_LOCK_OPEN = """
    INSERT INTO feed_heads (user_id, feed_seq) VALUES ($1, 0)
    ON CONFLICT (user_id) DO UPDATE SET updated_at = now() WHERE NOT feed_heads.is_closed
    RETURNING user_id
"""
_CLOSE = """
    INSERT INTO feed_heads (user_id, feed_seq, is_closed) VALUES ($1, 0, true)
    ON CONFLICT (user_id) DO UPDATE SET is_closed = true, updated_at = now()
"""
_ERASE = """
    DELETE FROM feed_entries WHERE user_id = $1 AND event_id = ANY (ARRAY(
        SELECT event_id FROM feed_entries WHERE user_id = $1 ORDER BY event_id LIMIT $2
    ))
"""

type FeedPosition = tuple[UUID, int]
"""A user, and a position (event id) in the user's feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry as it is sent.

    Attributes:
        event_id: its place in the user's feed.
        type: what it is, for the client.
        data: already serialised as JSON.
        traceparent: that of the work that caused it.
        caused_at: the time of the event that caused it, in seconds since 1970; None if none did.
    """

    event_id: int
    type: str
    data: str
    traceparent: str | None
    caused_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The range of a user's feed.

    Attributes:
        head: the newest event id; 0 if the feed never had an item.
        oldest: the oldest event id that is kept; None if no item is kept.
    """

    head: int
    oldest: int | None


class FeedRepository:
    """Reads and writes feeds in one transaction."""

    def __init__(self, unit: Statements) -> None:
        self._unit = unit

    async def extent(self, user_id: UUID) -> Extent:
        """Return the range of a user's feed."""
        (row,) = await self._unit.fetch(_EXTENT, user_id)
        return Extent(head=row["head"], oldest=row["oldest"])

    async def after(
        self, places: Collection[FeedPosition], *, page: int
    ) -> dict[FeedPosition, list[Item]]:
        """Return the items after each of `places`, in order, at most `page` for each place."""
        rows = await self._unit.fetch(_AFTER, *_arrays(places), page)
        found: dict[FeedPosition, list[Item]] = {}
        for row in rows:
            user_id, position, event_id, kind, data, traceparent, caused_at = row
            item = Item(
                event_id=event_id,
                type=kind,
                data=data,
                traceparent=traceparent,
                caused_at=caused_at,
            )
            found.setdefault((user_id, position), []).append(item)
        return found

    async def prune(self, *, limit: int) -> int:
        """Delete entries older than FEED_KEPT, oldest first; return how many, about `limit`."""
        return len(await self._unit.fetch(_PRUNE, FEED_KEPT, limit))

    async def lock_open(self, user_id: UUID) -> bool:
        """Lock the head of a user's feed if it is open, and return whether it is.

        Use a transaction that locks no other user's head, since all lock them in the order of ids.
        """
        return bool(await self._unit.fetch(_LOCK_OPEN, user_id))

    async def close(self, user_id: UUID) -> None:
        """Give a user's feed no more items: transactions that write one end first, or write none.

        Use a transaction that locks no other user's head, since all lock them in the order of ids.
        """
        await self._unit.execute(_CLOSE, user_id)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete entries of a user, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE, user_id, limit)

    async def ahead(
        self, places: Collection[FeedPosition], *, announced: int
    ) -> tuple[set[UUID], bool]:
        """Return the users whose feed has items after the given place.

        Returns:
            These users, and whether there is an announcement after the number `announced`.
        """
        rows = await self._unit.fetch(_AHEAD, *_arrays(places), announced)
        users = {row["user_id"] for row in rows}
        return users - {None}, None in users


def _arrays(places: Collection[FeedPosition]) -> tuple[list[UUID], list[int]]:
    return [user for user, _ in places], [position for _, position in places]
