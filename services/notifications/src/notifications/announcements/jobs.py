"""The retention of announcements."""

from chassis.database.unit import Unit
from notifications.announcements.repository import AnnouncementRepository


async def prune_announcements(unit: Unit, limit: int) -> int:
    """Delete announcements that are older than ANNOUNCEMENTS_KEPT, and return how many."""
    return await AnnouncementRepository(unit).prune(limit=limit)
