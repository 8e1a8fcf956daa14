"""Construct the use cases of notifications for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.feed.wiring import feed
from notifications.kinds.wiring import NotifyingResources
from notifications.notifications.repository import NotificationRepository
from notifications.notifications.service import NotificationService, Notifier
from notifications.preferences.repository import PreferenceRepository


def notifications(resources: ServiceResources, unit: Unit) -> NotificationService:
    """Return the use cases of a user's own notifications."""
    return NotificationService(
        notifications=NotificationRepository(unit), jobs=resources.jobs(unit)
    )


def notifier(resources: NotifyingResources, unit: Unit) -> Notifier:
    """Return the transaction's only notifier, which writes for all messages of a batch."""

    def make() -> Notifier:
        return Notifier(
            unit=unit,
            notifications=NotificationRepository(unit),
            preferences=PreferenceRepository(unit),
            feed=feed(resources, unit),
            outbox=resources.outbox(unit),
            texts=resources.notification_texts,
            metrics=resources.notification_metrics,
        )

    return unit.only(Notifier, make)


Notifications = Annotated[NotificationService, use_case(notifications)]
