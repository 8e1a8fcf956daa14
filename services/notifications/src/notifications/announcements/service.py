"""Use cases of announcements: publish and withdraw them, and take them into users' lists."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.database import new_id
from chassis.errors import FieldError
from chassis.paging import PageRequest, PageRows
from chassis.telemetry.tracing import current_traceparent
from notifications.announcements.errors import AnnouncementExpired, AnnouncementNotFound
from notifications.announcements.models import Announcement, Recent
from notifications.announcements.repository import AnnouncementPosition, AnnouncementRepository
from notifications.feed.service import Feed


class AnnouncementService:
    """Announcements in one transaction.

    Args:
        announcements: their repository.
        feed: tells the processes that hold sockets.
        audit: records who published and withdrew what.
    """

    def __init__(
        self, *, announcements: AnnouncementRepository, feed: Feed, audit: AuditLog
    ) -> None:
        self._announcements = announcements
        self._feed = feed
        self._audit = audit

    async def publish(
        self,
        *,
        title: str,
        body: str,
        data: dict[str, str],
        expires_at: datetime | None,
        author_id: UUID,
        by: Actor,
    ) -> Announcement:
        """Store an announcement for all users and return it; the number of rows is constant.

        Args:
            title: one line.
            body: the text.
            data: for the clients: a link, for example.
            expires_at: a user who comes later does not get it; None: ANNOUNCEMENTS_KEPT alone.
            author_id: who publishes it.
            by: the same, for the audit log.

        Raises:
            AnnouncementExpired: `expires_at` has passed.
        """
        if expires_at is not None and expires_at <= datetime.now(UTC):
            message = "The announcement would have expired already. Send a later `expires_at`."
            field = FieldError(detail="must be in the future", pointer="#/expires_at")
            raise AnnouncementExpired(message, errors=[field])
        announcement_id = new_id()
        await self._announcements.add(
            announcement_id,
            title=title,
            body=body,
            data=data,
            author_id=author_id,
            traceparent=current_traceparent(),
            expires_at=expires_at,
        )
        self._audit.append(
            "announcement.published",
            actor=by,
            subject=f"announcement:{announcement_id}",
            details={"title": title},
        )
        self._feed.announce_to_all()
        return await self.get(announcement_id)

    async def get(self, announcement_id: UUID) -> Announcement:
        """Return an announcement, or raise AnnouncementNotFound."""
        found = await self._announcements.find(announcement_id)
        if found is None:
            message = (
                f"There is no announcement {announcement_id}. Take the id from the list of "
                "announcements."
            )
            raise AnnouncementNotFound(message)
        return found

    async def page(
        self, wanted: PageRequest[AnnouncementPosition]
    ) -> PageRows[Announcement, AnnouncementPosition]:
        """Return one page of all announcements, newest first."""
        return await self._announcements.page(wanted)

    async def withdraw(self, announcement_id: UUID, *, by: Actor) -> None:
        """Give an announcement to no further user. Those who have it keep it.

        Raises:
            AnnouncementNotFound: there is none such.
        """
        if await self._announcements.withdraw(announcement_id):
            self._audit.append(
                "announcement.withdrawn", actor=by, subject=f"announcement:{announcement_id}"
            )
            return
        await self.get(announcement_id)


type Copies = Sequence[tuple[Recent, Collection[UUID]]]
"""Announcements in the order in which each user gets them, each with its users."""


class Copier(Protocol):
    """Writes notifications with the same text for many users."""

    async def copy_announcements(self, copies: Copies) -> None:
        """Write a notification with its feed item and its event for each of the users."""


class Intake:
    """Takes announcements into the lists and feeds of users who are there, in one transaction.

    An announcement is stored once. It becomes a notification of a user when that user lists or
    counts notifications, opens a socket, or holds one. Which feed has taken in what stands in its
    head, under the lock that also numbers its items. So each user gets each announcement once,
    however many processes take it in, and the numbers have no gap.

    Args:
        announcements: their repository.
        copier: writes the notifications.
    """

    def __init__(self, *, announcements: AnnouncementRepository, copier: Copier) -> None:
        self._announcements = announcements
        self._copier = copier

    async def take_in_for(self, user_id: UUID) -> None:
        """Take in what a user has missed.

        If that is nothing, it costs no round trip as the first step of a transaction.
        """
        if await self._announcements.has_missed(user_id):
            await self.take_in([user_id])

    async def take_in(self, users: Collection[UUID]) -> None:
        """Take in what each of `users` has missed, in a number of statements that is constant.

        Of all that was published, at most the newest MOST_MISSED are taken in. What has expired or
        was withdrawn, or is older than the user's account, is passed over.
        """
        recent = await self._announcements.recent()
        if not recent:
            return
        advanced = await self._announcements.advance(users, newest=recent[0].seq)
        copies = [
            (one, [user.user_id for user in advanced if user.gets(one)]) for one in reversed(recent)
        ]
        await self._copier.copy_announcements([(one, to) for one, to in copies if to])
