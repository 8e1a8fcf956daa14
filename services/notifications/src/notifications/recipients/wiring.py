"""Construct the use cases of recipients for one transaction."""

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from notifications.feed.wiring import feed
from notifications.preferences.wiring import preferences
from notifications.recipients.repository import RecipientRepository
from notifications.recipients.service import RecipientService


def recipients(resources: ServiceResources, unit: Unit) -> RecipientService:
    """Return the use cases of recipients."""
    return RecipientService(
        recipients=RecipientRepository(unit),
        feed=feed(resources, unit),
        preferences=preferences(resources, unit),
        jobs=resources.jobs(unit),
    )
