"""The scope of a user's own notifications, and what the worker holds to write them."""

from dataclasses import dataclass

from chassis.wiring import ServiceResources
from notifications.kinds.service import NotificationMetrics, NotificationTexts

SCOPE = "notifications:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyingResources(ServiceResources):
    """A process's resources, with the texts of notifications and the counter of their outcomes."""

    notification_texts: NotificationTexts
    notification_metrics: NotificationMetrics
