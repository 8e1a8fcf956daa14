"""A user's own notifications over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from chassis.auth import Principal, require_scope
from chassis.http import Page, Pages, Router, problems
from notifications.kinds.models import table_of_kinds
from notifications.kinds.wiring import SCOPE
from notifications.notifications.errors import NotificationNotFound
from notifications.notifications.models import NOTIFICATIONS_KEPT, READ_AT_ONCE
from notifications.notifications.repository import FeedPosition
from notifications.notifications.schemas import (
    NotificationOut,
    NotificationsQuery,
    ReadAll,
    UnreadCount,
)
from notifications.notifications.wiring import Notifications

router = Router(prefix="/api/v1/notifications", tags=["notifications"])

Reader = Annotated[Principal, require_scope(SCOPE)]


@router.get(
    "",
    operation_id="listNotifications",
    summary="List your notifications",
    description="Your notifications, newest first; `event_id` is the place of each in the live "
    f"feed. They are kept for {NOTIFICATIONS_KEPT.days} days. The types of notifications:\n\n"
    f"{table_of_kinds()}",
)
async def list_notifications(
    query: Annotated[NotificationsQuery, Query()],
    caller: Reader,
    notifications: Notifications,
    pages: Pages,
) -> Page[NotificationOut]:
    """List the caller's notifications."""
    found = await notifications.page(caller.user_id, query.page(FeedPosition), unread=query.unread)
    return pages.write(found, NotificationOut.model_validate, query=query)


@router.get(
    "/unread-count", operation_id="countUnreadNotifications", summary="Count the unread ones"
)
async def count_unread(caller: Reader, notifications: Notifications) -> UnreadCount:
    """How many of your notifications are unread."""
    return UnreadCount(unread=await notifications.count_unread(caller.user_id))


@router.post(
    "/read-all",
    operation_id="markAllNotificationsRead",
    summary="Mark all as read",
    description="Marks your unread notifications as read, up to `last_event_id`, and returns how "
    f"many are unread after that. Of more than {READ_AT_ONCE:,} the newest are marked at once, and "
    "the others within moments. A repetition changes nothing.",
)
async def mark_all_read(
    caller: Reader, notifications: Notifications, body: ReadAll | None = None
) -> UnreadCount:
    """Mark the caller's notifications as read."""
    last_event_id = None if body is None else body.last_event_id
    return UnreadCount(
        unread=await notifications.mark_all_read(caller.user_id, last_event_id=last_event_id)
    )


@router.post(
    "/{notification_id}/read",
    operation_id="markNotificationRead",
    summary="Mark one as read",
    responses=problems(NotificationNotFound),
)
async def mark_read(
    notification_id: UUID, caller: Reader, notifications: Notifications
) -> NotificationOut:
    """Marks one of your notifications as read. Again, it keeps the time of the first."""
    return NotificationOut.model_validate(
        await notifications.mark_read(caller.user_id, notification_id)
    )
