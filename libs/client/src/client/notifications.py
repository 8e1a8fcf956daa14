"""The list of one's notifications. The live feed is in `feed` and `following`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from client.calls import Calls, params_of
from client.shapes import Answer, Page
from client.tokens import Token


class Notification(Answer):
    """One notification to the user; `event_id` is its position in the user's feed."""

    id: UUID
    event_id: int
    type: str
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


class UnreadCount(Answer):
    """How many notifications of the user are unread."""

    unread: int


class NotificationCalls(Calls):
    """The calls that concern notifications."""

    async def list_notifications(
        self,
        token: Token,
        *,
        unread: bool | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Notification]:
        """Return one page of the user's notifications, newest first."""
        params = params_of(unread=unread, limit=limit, cursor=cursor)
        return await self.call(
            Page[Notification], "GET", "/notifications", token=token, params=params
        )

    async def count_unread(self, token: Token) -> int:
        """Return how many notifications are unread."""
        path = "/notifications/unread-count"
        return (await self.call(UnreadCount, "GET", path, token=token)).unread

    async def mark_read(self, token: Token, notification_id: UUID) -> Notification:
        """Mark a notification as read, and return it. The time of the first reading stays."""
        path = f"/notifications/{notification_id}/read"
        return await self.call(Notification, "POST", path, token=token, repeatable=True)
