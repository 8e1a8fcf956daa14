"""HTTP routes of announcements, for those who may publish them."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.http import Idempotent, Page, PageQuery, Pages, Router, acting, problems
from notifications.announcements.errors import AnnouncementExpired, AnnouncementNotFound
from notifications.announcements.repository import AnnouncementPosition
from notifications.announcements.schemas import AnnouncementOut, NewAnnouncement
from notifications.announcements.wiring import SCOPE, Announcements

router = Router(prefix="/api/v1/announcements", tags=["announcements"])

Author = Annotated[Principal, require_scope(SCOPE)]
Writer = Annotated[Actor, acting(SCOPE)]


@router.post(
    "",
    operation_id="publishAnnouncement",
    summary="Publish an announcement",
    status_code=201,
    idempotent=Idempotent.OPTIONAL,
    responses=problems(AnnouncementExpired),
)
async def publish(
    body: NewAnnouncement,
    caller: Author,
    actor: Writer,
    announcements: Announcements,
    response: Response,
) -> AnnouncementOut:
    """Tell all users something: in their lists of notifications, and at once in open live feeds.

    A user who registers later does not get it. It is sent neither by e-mail nor to webhooks.
    Scope: `announcements:write`.
    """
    announcement = await announcements.publish(
        title=body.title,
        body=body.body,
        data=body.data,
        expires_at=body.expires_at,
        author_id=caller.user_id,
        by=actor,
    )
    response.headers["Location"] = f"{router.prefix}/{announcement.id}"
    return AnnouncementOut.model_validate(announcement)


@router.get("", operation_id="listAnnouncements", summary="List announcements")
async def list_announcements(
    query: Annotated[PageQuery, Query()], _: Author, announcements: Announcements, pages: Pages
) -> Page[AnnouncementOut]:
    """All announcements, newest first, also expired and withdrawn ones.

    They are deleted after 90 days. Scope: `announcements:write`.
    """
    found = await announcements.page(query.page(AnnouncementPosition))
    return pages.write(found, AnnouncementOut.model_validate, query=query)


@router.get(
    "/{announcement_id}",
    operation_id="getAnnouncement",
    summary="Read an announcement",
    responses=problems(AnnouncementNotFound),
)
async def get_announcement(
    announcement_id: UUID, _: Author, announcements: Announcements
) -> AnnouncementOut:
    """One announcement. Scope: `announcements:write`."""
    return AnnouncementOut.model_validate(await announcements.get(announcement_id))


@router.delete(
    "/{announcement_id}",
    operation_id="withdrawAnnouncement",
    summary="Withdraw an announcement",
    status_code=204,
    responses=problems(AnnouncementNotFound),
)
async def withdraw(announcement_id: UUID, actor: Writer, announcements: Announcements) -> None:
    """Give it to no further user. Those who have it in their lists keep it.

    Again, it changes nothing. Scope: `announcements:write`.
    """
    await announcements.withdraw(announcement_id, by=actor)
