"""Deletes expired entries of the audit log with their seals, so that the rest can be verified."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from chassis.database.unit import Unit

AUDIT_KEPT = timedelta(days=365)
"""How long records of who did what are kept: changes, and actions on dead letters and jobs."""

# The seals in the order of the chain, up to the first that covers an entry that has not expired.
_EXPIRED = """
    SELECT number, entry_ids FROM audit_seals
    WHERE number < coalesce(
        (SELECT min(number) FROM audit_seals WHERE newest_at >= now() - $1::interval),
        (SELECT max(number) + 1 FROM audit_seals))
    ORDER BY number LIMIT $2
"""
_DELETE_ENTRIES = "DELETE FROM audit_log WHERE id = ANY($1::bigint[])"
_DELETE_SEALS = "DELETE FROM audit_seals WHERE number < $1"


def sealed_entries_older_than(age: timedelta) -> Callable[[Unit, int], Awaitable[int]]:
    """Return a function that deletes entries whose seal covers only entries older than `age`.

    The newest seal that has lost its entries stays: it proves where the chain continues. An entry
    that is not sealed yet is not deleted.
    """

    async def prune(unit: Unit, limit: int) -> int:
        deleted, newest = 0, 0
        for number, entry_ids in await unit.fetch(_EXPIRED, age, limit):
            if deleted >= limit:
                break
            deleted += await unit.execute(_DELETE_ENTRIES, entry_ids)
            newest = number
        await unit.execute(_DELETE_SEALS, newest)
        return deleted

    return prune
