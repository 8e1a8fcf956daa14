"""Announcements to all users."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from client.calls import Calls, key_header, params_of
from client.shapes import Answer, Body, Page
from client.tokens import Token


class NewAnnouncement(Body):
    """What every user is to be told; users who come after `expires_at` do not get it."""

    title: str
    body: str
    data: dict[str, str] = Field(default_factory=dict)
    expires_at: datetime | None = None


class Announcement(Answer):
    """An announcement; nobody gets it after `withdrawn_at`."""

    id: UUID
    title: str
    body: str
    data: dict[str, str]
    author_id: UUID
    created_at: datetime
    expires_at: datetime | None
    withdrawn_at: datetime | None


class AnnouncementCalls(Calls):
    """The calls that concern announcements (scope `announcements:write`)."""

    async def publish_announcement(
        self, token: Token, announcement: NewAnnouncement, *, idempotency_key: str | None = None
    ) -> Announcement:
        """Tell all users something, and return the announcement.

        Args:
            token: authenticates the call.
            announcement: what to tell.
            idempotency_key: None: a new one. A repeated key returns the first announcement.
        """
        body = announcement.model_dump(mode="json", exclude_unset=True)
        headers = key_header(idempotency_key)
        path = "/announcements"
        return await self.call(Announcement, "POST", path, token=token, headers=headers, json=body)

    async def list_announcements(
        self, token: Token, *, limit: int = 20, cursor: str | None = None
    ) -> Page[Announcement]:
        """Return one page of all announcements, newest first."""
        params = params_of(limit=limit, cursor=cursor)
        path = "/announcements"
        return await self.call(Page[Announcement], "GET", path, token=token, params=params)

    async def get_announcement(self, token: Token, announcement_id: UUID) -> Announcement:
        """Return an announcement."""
        return await self.call(
            Announcement, "GET", f"/announcements/{announcement_id}", token=token
        )

    async def withdraw_announcement(self, token: Token, announcement_id: UUID) -> None:
        """Withdraw an announcement: no user gets it from now on."""
        await self.send("DELETE", f"/announcements/{announcement_id}", token=token)
