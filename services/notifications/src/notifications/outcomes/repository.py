"""All SQL on outcomes."""

from collections.abc import Sequence
from uuid import UUID

from chassis.database.unit import Unit
from chassis.jobs.retention import rows_older_than
from notifications.outcomes.models import OUTCOMES_KEPT, ChannelOutcome

# The rows are locked in the order of their ids, so that two transactions can't deadlock.
_TAKE_VERSIONS = """
    WITH settled AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY
            AS s (notification_id, user_id, place)
    ),
    counted AS (
        INSERT INTO outcomes AS o (notification_id, user_id, listed, announced)
        SELECT s.notification_id, s.user_id, n.id IS NOT NULL, count(*)
        FROM settled AS s LEFT JOIN notifications AS n ON n.id = s.notification_id
        GROUP BY s.notification_id, s.user_id, n.id
        ORDER BY s.notification_id
        ON CONFLICT (notification_id) DO UPDATE
        SET announced = o.announced + excluded.announced, updated_at = now()
        RETURNING notification_id, announced + listed::integer AS version
    )
    SELECT version + 1
        - row_number() OVER (PARTITION BY notification_id ORDER BY place DESC) AS version
    FROM settled JOIN counted USING (notification_id)
    ORDER BY place
"""
_ERASE = """
    DELETE FROM outcomes WHERE notification_id = ANY (ARRAY(
        SELECT notification_id FROM outcomes WHERE user_id = $1 LIMIT $2
    ))
"""
_prune = rows_older_than(
    OUTCOMES_KEPT,
    "outcomes",
    "created_at",  # it has the index
    also=f"updated_at < now() - interval '{OUTCOMES_KEPT.days} days'",
)

VERSIONS = """
    SELECT n.id AS position, n.user_id::text AS key, n.id::text AS subject,
        1 + coalesce(o.announced, 0) AS version, n.created_at, n.created_at AS changed_at
    FROM notifications AS n LEFT JOIN outcomes AS o ON o.notification_id = n.id
    WHERE n.id > $1 ORDER BY n.id LIMIT $2
"""
"""Each notification with the number of its events, for ``slipway verify``."""

UNLISTED = """
    SELECT notification_id AS position, user_id::text AS key, notification_id::text AS subject,
        announced AS version, created_at, created_at AS changed_at
    FROM outcomes WHERE NOT listed AND notification_id > $1 ORDER BY notification_id LIMIT $2
"""
"""Those that are in no list, and so have no row but the count of their outcomes."""


class OutcomeRepository:
    """Reads and writes the counts of outcomes in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def take_versions(self, outcomes: Sequence[ChannelOutcome]) -> list[int]:
        """Return the version of each outcome's notification after it, in the order of `outcomes`.

        The counts stay locked until the transaction ends.
        """
        notifications = [outcome.notification_id for outcome in outcomes]
        users = [outcome.user_id for outcome in outcomes]
        rows = await self._unit.fetch(_TAKE_VERSIONS, notifications, users)
        return [row["version"] for row in rows]

    async def prune(self, *, limit: int) -> int:
        """Delete counts that last rose over OUTCOMES_KEPT ago, at most `limit`; return how many."""
        return await _prune(self._unit, limit)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete counts of a user, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE, user_id, limit)
