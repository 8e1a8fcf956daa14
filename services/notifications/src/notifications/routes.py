"""A user's own notifications over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from chassis.http import Page, Router, page_of, problems
from notifications.errors import NotificationNotFound
from notifications.schemas import FeedCursor, NotificationOut, NotificationsQuery, UnreadCount
from notifications.wiring import NotificationsDep, Reader

router = Router(prefix="/api/v1/notifications", tags=["notifications"])


@router.get("", operation_id="listNotifications", summary="List your notifications")
async def list_notifications(
    query: Annotated[NotificationsQuery, Query()],
    caller: Reader,
    notifications: NotificationsDep,
    request: Request,
    response: Response,
) -> Page[NotificationOut]:
    """Your notifications, newest first; `event_id` is the place of each in the live feed."""
    found, last = await notifications.page(
        caller.user_id, before=query.before(), unread=query.unread, limit=query.limit
    )
    return page_of(
        [NotificationOut.model_validate(one) for one in found],
        next_cursor=None if last is None else FeedCursor(event_id=last),
        request=request,
        response=response,
    )


@router.get(
    "/unread-count", operation_id="countUnreadNotifications", summary="Count the unread ones"
)
async def count_unread(caller: Reader, notifications: NotificationsDep) -> UnreadCount:
    """How many of your notifications are unread."""
    return UnreadCount(unread=await notifications.count_unread(caller.user_id))


@router.post(
    "/{notification_id}/read",
    operation_id="markNotificationRead",
    summary="Mark one as read",
    responses=problems(NotificationNotFound),
)
async def mark_read(
    notification_id: UUID, caller: Reader, notifications: NotificationsDep
) -> NotificationOut:
    """Marks one of your notifications as read. Again, it keeps the time of the first."""
    return NotificationOut.model_validate(
        await notifications.mark_read(caller.user_id, notification_id)
    )
