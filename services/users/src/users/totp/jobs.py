"""The retention of TOTP."""

from chassis.database.unit import Unit
from users.totp.repository import TotpRepository


async def prune_pending_totp(unit: Unit, limit: int) -> int:
    """Delete setups of TOTP that were not confirmed in time."""
    return await TotpRepository(unit).delete_expired(limit=limit)
