"""The shapes of notifications over HTTP."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from chassis.http import BoundedInt, PageQuery, Shape
from chassis.integers import MAX_INTEGER


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


class ReadAll(Shape):
    """Which notifications to mark as read."""

    last_event_id: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = Field(
        default=None,
        description="The newest `event_id` that the user has seen: newer ones stay unread. Without "
        "it, all are marked.",
    )


class UnreadCount(Shape):
    """How many notifications are unread."""

    unread: int


class NotificationsQuery(PageQuery):
    """Which notifications to list."""

    unread: bool | None = Field(
        default=None, description="`true`: only unread ones; `false`: only those that are read."
    )
