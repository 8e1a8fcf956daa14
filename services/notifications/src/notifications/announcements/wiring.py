"""Construct the use cases of announcements for one transaction."""

from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.announcements.repository import AnnouncementRepository
from notifications.announcements.service import AnnouncementService
from notifications.feed.wiring import feed

SCOPE = "announcements:write"


def announcements(resources: ServiceResources, unit: Unit) -> AnnouncementService:
    """Return the use cases of announcements."""
    return AnnouncementService(
        announcements=AnnouncementRepository(unit),
        feed=feed(resources, unit),
        audit=AuditLog(unit),
    )


Announcements = Annotated[AnnouncementService, use_case(announcements)]
