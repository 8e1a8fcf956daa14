"""The contract of the notifications service."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Topic, VersionedEvent

NOTIFICATIONS = Topic(
    name="slipway.notifications",
    producer="notifications",
    key="the id of the user who is notified",
    partitions=6,
    retention=timedelta(days=3),
    personal_data=True,
    publish_delay=timedelta(milliseconds=250),  # the user's feed shows it before
)


class NotificationEvent(VersionedEvent):
    """Something that happened to a notification."""

    topic: ClassVar[Topic] = NOTIFICATIONS

    notification_id: UUID
    user_id: UUID

    @property
    def key(self) -> str:
        """The user's id: a user's notifications stay in order."""
        return str(self.user_id)

    @property
    def subject(self) -> str:
        """The notification's id."""
        return str(self.notification_id)


class NotificationCreated(NotificationEvent):
    """A user has a new notification."""

    type: ClassVar[str] = "notification.created.v1"

    kind: str = Field(description="What it is about: `order.placed`.")
    title: str
    created_at: AwareDatetime


class NotificationDelivered(NotificationEvent):
    """A notification was delivered on one of its channels."""

    type: ClassVar[str] = "notification.delivered.v1"

    channel: str = Field(description="`email` or `webhook`; others may come.")
    delivered_at: AwareDatetime


class NotificationFailed(NotificationEvent):
    """A notification could not be delivered on one of its channels, and is not retried there."""

    type: ClassVar[str] = "notification.failed.v1"

    channel: str = Field(description="`email` or `webhook`; others may come.")
    reason: str = Field(description="In words, without addresses or secrets.")
    failed_at: AwareDatetime
