"""Construct the use cases of recipients for one transaction."""

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from notifications.feed.wiring import feed
from notifications.recipients.repository import RecipientRepository
from notifications.recipients.service import RecipientService


def recipients(resources: ServiceResources, unit: Unit) -> RecipientService:
    """Return the use cases of recipients."""
    return RecipientService(
        recipients=RecipientRepository(unit),
        feed=feed(resources, unit),
        jobs=resources.jobs(unit),
    )
