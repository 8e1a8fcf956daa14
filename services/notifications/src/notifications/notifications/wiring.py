"""Construct the use cases of notifications for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.feed.wiring import feed
from notifications.notifications.repository import NotificationRepository
from notifications.notifications.service import NotificationService, Notifier


def notifications(_resources: ServiceResources, unit: Unit) -> NotificationService:
    """Return the use cases of a user's own notifications."""
    return NotificationService(notifications=NotificationRepository(unit))


def notifier(resources: ServiceResources, unit: Unit) -> Notifier:
    """Return the transaction's only notifier, which writes for all messages of a batch."""

    def make() -> Notifier:
        return Notifier(
            notifications=NotificationRepository(unit),
            feed=feed(resources, unit),
            outbox=resources.outbox(unit),
        )

    return unit.only(Notifier, make)


Notifications = Annotated[NotificationService, use_case(notifications)]
