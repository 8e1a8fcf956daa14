"""The retention of replaced secrets (see Retention)."""

from chassis.database.unit import Unit
from notifications.webhooks.repository import WebhookRepository


async def forget_previous_secrets(unit: Unit, limit: int) -> int:
    """Erase secrets that were replaced over OVERLAP ago."""
    return await WebhookRepository(unit).forget_previous_secrets(limit=limit)
