"""The retention of leaky buckets."""

from chassis.database.unit import Unit
from users.throttling.repository import BucketRepository


async def prune_buckets(unit: Unit, limit: int) -> int:
    """Delete expired buckets."""
    return await BucketRepository(unit).delete_expired(limit=limit)
