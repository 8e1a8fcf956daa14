"""What the notifications service announces."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.base import Event, Topic

NOTIFICATIONS = Topic(
    name="slipway.notifications",
    producer="notifications",
    key="the id of the user who is notified",
    partitions=6,
    retention=timedelta(days=3),
)


class NotificationCreated(Event):
    """A user has a new notification."""

    type: ClassVar[str] = "notification.created.v1"
    topic: ClassVar[Topic] = NOTIFICATIONS

    notification_id: UUID
    user_id: UUID
    kind: str = Field(description="What it is about: `order.placed`.")
    title: str
    created_at: datetime

    @property
    def key(self) -> str:
        """The user's id: a user's notifications stay in order."""
        return str(self.user_id)

    @property
    def subject(self) -> str:
        """The notification's id."""
        return str(self.notification_id)
