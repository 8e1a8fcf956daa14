"""The retention of passkeys' challenges."""

from chassis.database.unit import Unit
from users.passkeys.repository import ChallengeRepository


async def prune_passkey_challenges(unit: Unit, limit: int) -> int:
    """Delete challenges that were not used in time."""
    return await ChallengeRepository(unit).delete_expired(limit=limit)
