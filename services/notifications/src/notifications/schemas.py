"""The shapes of notifications over HTTP."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from chassis.http import BoundedInt, KeysetCursor, PageQuery, Shape


class NotificationOut(Shape):
    """One notification."""

    id: UUID
    event_id: BoundedInt = Field(
        description="Its place in the user's feed: an integer from 1, without gaps."
    )
    type: str = Field(description="What it is about: `order.placed`.")
    title: str
    body: str
    data: dict[str, Any] = Field(description="Depends on the type: `order_id`, `total`.")
    created_at: datetime
    read_at: datetime | None = Field(description="When it was first marked as read.")


class UnreadCount(Shape):
    """How many notifications are unread."""

    unread: int


class FeedCursor(KeysetCursor):
    """The place of the last item of a page, which is its place in the feed."""

    event_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class NotificationsQuery(PageQuery):
    """Which notifications to list."""

    unread: bool | None = Field(
        default=None, description="`true`: the unread ones only; `false`: the others only."
    )

    def before(self) -> int | None:
        """Read the cursor: the event id that the page begins below."""
        return None if self.cursor is None else FeedCursor.decode(self.cursor).event_id
