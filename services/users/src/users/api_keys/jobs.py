"""The retention of API keys (see Retention)."""

from chassis.database.unit import Unit
from users.api_keys.repository import ApiKeyRepository


async def prune_ended_keys(unit: Unit, limit: int) -> int:
    """Delete keys that expired or were revoked over ENDED_KEYS_KEPT ago."""
    return await ApiKeyRepository(unit).delete_ended(limit=limit)
