"""The shapes of notifications over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from chassis.http import BoundedInt, PageQuery, Shape


class NotificationOut(Shape):
    """One notification."""

    id: UUID
    event_id: BoundedInt = Field(
        description="The number in the user's feed: an integer from 1, without gaps."
    )
    type: str = Field(
        description="What the notification is about: `order.placed`, `order.shipped`, …"
    )
    title: str
    body: str
    data: dict[str, Any] = Field(
        description="Depends on the type: `order_id`, and `total`, `reason` or `amount`."
    )
    created_at: datetime
    read_at: datetime | None = Field(
        description="When it was first marked as read; null: it is unread."
    )


class UnreadCount(Shape):
    """How many notifications are unread."""

    unread: int


class NotificationsQuery(PageQuery):
    """Which notifications to list."""

    unread: bool | None = Field(
        default=None, description="`true`: only unread ones; `false`: only those that are read."
    )
