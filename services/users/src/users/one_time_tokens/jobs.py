"""The retention of one-time tokens."""

from chassis.database.unit import Unit
from users.one_time_tokens.repository import OneTimeTokenRepository


async def prune_one_time_tokens(unit: Unit, limit: int) -> int:
    """Delete expired one-time tokens."""
    return await OneTimeTokenRepository(unit).delete_expired(limit=limit)
