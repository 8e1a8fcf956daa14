"""Construct the use cases of notifications for one transaction."""

from collections.abc import Iterable
from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import use_case
from notifications.announcements.repository import AnnouncementRepository
from notifications.announcements.service import Intake
from notifications.deliveries.wiring import deliveries
from notifications.feed.wiring import feed
from notifications.kinds.models import Channel, Notice
from notifications.kinds.wiring import NotifyingResources
from notifications.mails.wiring import mails
from notifications.notifications.repository import NotificationRepository
from notifications.notifications.service import NotificationService, Notifier
from notifications.preferences.repository import PreferenceRepository


def notifications(resources: NotifyingResources, unit: Unit) -> NotificationService:
    """Return the use cases of a user's own notifications."""
    return NotificationService(
        notifications=NotificationRepository(unit),
        intake=intake(resources, unit),
        jobs=resources.jobs(unit),
    )


def intake(resources: NotifyingResources, unit: Unit) -> Intake:
    """Return what takes announcements into users' lists and feeds."""
    return Intake(announcements=AnnouncementRepository(unit), copier=notifier(resources, unit))


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


async def write_notifications(unit: Unit, resources: NotifyingResources) -> None:
    """Write what the transaction's notifier collected, and hand it on to the other channels."""
    notices = await notifier(resources, unit).write_all()
    await mails(resources, unit).send_notices(_reachable(notices, Channel.EMAIL))
    await deliveries(resources, unit).enqueue(_reachable(notices, Channel.WEBHOOK))


def _reachable(notices: Iterable[Notice], channel: Channel) -> list[Notice]:
    return [notice for notice in notices if channel in notice.reachable]


Notifications = Annotated[NotificationService, use_case(notifications)]
