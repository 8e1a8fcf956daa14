"""The list of one's notifications. The live feed is in `feed` and `following`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

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


class StreamTicket(Answer):
    """Opens one stream of server-sent events, in place of a token, until `expires_at`."""

    ticket: str = Field(repr=False)
    expires_at: datetime


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

    async def mark_all_read(self, token: Token, *, last_event_id: int | None = None) -> int:
        """Mark all notifications as read, and return how many are still unread.

        Args:
            token: authenticates the user.
            last_event_id: the newest that the user has seen: newer ones stay unread. None: all.
        """
        body = None if last_event_id is None else {"last_event_id": last_event_id}
        path = "/notifications/read-all"
        answer = await self.call(
            UnreadCount, "POST", path, token=token, json=body, repeatable=last_event_id is not None
        )
        return answer.unread

    async def create_stream_ticket(self, token: Token) -> StreamTicket:
        """Return a ticket for `EventSource`, which can't send the header of a token."""
        path = "/notifications/stream-tickets"
        return await self.call(StreamTicket, "POST", path, token=token)
