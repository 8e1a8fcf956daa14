"""Use cases of notifications: notify a user, list notifications, mark them as read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chassis.database import new_id
from chassis.database.unit import Unit
from chassis.integers import MAX_INTEGER
from chassis.jobs import Jobs
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows
from chassis.telemetry.tracing import current_traceparent, within_trace
from contracts.notifications import NotificationCreated
from notifications.announcements.models import Recent
from notifications.announcements.service import Copies, Intake
from notifications.catalogues.service import DEFAULT_LANGUAGE
from notifications.feed.service import Feed
from notifications.kinds.models import (
    KINDS,
    Channel,
    Notice,
    NotificationKind,
    NotificationText,
    Outcome,
)
from notifications.kinds.service import NotificationMetrics, NotificationTexts
from notifications.notifications.errors import NotificationNotFound
from notifications.notifications.models import READ_AT_ONCE, MarkAllRead, Notification
from notifications.notifications.repository import FeedPosition, NotificationRepository, Written
from notifications.preferences.repository import PreferenceRepository

_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification to be written, with the event that caused it, its time and its trace."""

    id: UUID
    kind: NotificationKind
    user_id: UUID
    source_event_id: str
    data: Mapping[str, Any] = field(repr=False)
    traceparent: str | None
    caused_at: datetime | None = None


class Notifier:
    """Collects the notifications of one transaction; ``write_all`` writes them at its end.

    A user's feed is locked from taking its number to the commit. So they are written last: one
    statement writes all notifications of a batch, with their feed items and their events.

    Args:
        unit: the transaction.
        notifications: the repository.
        preferences: the preferences, for the languages of texts.
        feed: the feed of the same transaction.
        outbox: the outbox of the same transaction.
        texts: renders titles and bodies.
        metrics: counts what was created, after the commit.
    """

    def __init__(
        self,
        *,
        unit: Unit,
        notifications: NotificationRepository,
        preferences: PreferenceRepository,
        feed: Feed,
        outbox: Outbox,
        texts: NotificationTexts,
        metrics: NotificationMetrics,
    ) -> None:
        self._unit = unit
        self._notifications = notifications
        self._preferences = preferences
        self._feed = feed
        self._outbox = outbox
        self._texts = texts
        self._metrics = metrics
        self._drafts: dict[tuple[str, UUID], Draft] = {}

    def notify(
        self,
        type_: str,
        *,
        user_id: UUID,
        source_event_id: str,
        data: Mapping[str, Any],
        caused_at: datetime | None = None,
    ) -> None:
        """Notify a user of an event, once the transaction ends.

        Args:
            type_: the type of the notification, a key of ``KINDS``.
            user_id: the user to notify.
            source_event_id: the event that says so; it never notifies a user twice.
            data: what the API shows, and what the templates of the kind may use.
            caused_at: the time of the event; None if it is not known.
        """
        draft = Draft(
            id=new_id(),
            kind=KINDS[type_],
            user_id=user_id,
            source_event_id=source_event_id,
            data=data,
            traceparent=current_traceparent(),
            caused_at=caused_at,
        )
        self._drafts.setdefault((source_event_id, user_id), draft)

    async def write_all(self) -> list[Notice]:
        """Write the notifications that were collected, their feed items and their events.

        It is one statement, and one more if there are texts in more than one language.

        Returns:
            Those that are sent on any channel, in order. Left out are those that were written
            before, by another delivery of their event.
        """
        drafts, self._drafts = list(self._drafts.values()), {}
        if not drafts:
            return []
        created_at = datetime.now(UTC)
        texts = await self._texts_of(drafts)
        rows = [
            self._row(draft, text, created_at) for draft, text in zip(drafts, texts, strict=True)
        ]
        notices = [
            _notice(drafts[written.place], texts[written.place], written, created_at)
            for written in await self._notifications.write(rows)
        ]
        self._tell_of([notice.user_id for notice in notices if notice.event_id is not None])
        return notices

    async def _texts_of(self, drafts: Sequence[Draft]) -> list[NotificationText]:
        locales: Mapping[UUID, str] = {}
        if len(self._texts.languages) > 1:
            locales = await self._preferences.locales({draft.user_id for draft in drafts})
        return [
            self._texts.text(
                draft.kind, draft.data, locale=locales.get(draft.user_id, DEFAULT_LANGUAGE)
            )
            for draft in drafts
        ]

    async def copy_announcements(self, copies: Copies) -> None:
        """Write a notification for each user of each announcement, with its item and its event.

        Left out are users who have switched the channel ``in_app`` of announcements off.
        """
        if not copies:
            return
        created_at = datetime.now(UTC)
        templates = [self._template(one, created_at) for one, _ in copies]
        users = await self._notifications.write_copies(templates, [to for _, to in copies])
        self._tell_of(users)

    def _tell_of(self, listed: Sequence[UUID]) -> None:
        """Send hints and count, after the commit, what was written in the lists of these users."""
        self._feed.announce_items(listed)
        self._unit.after_commit(
            lambda: self._metrics.count(Channel.IN_APP, Outcome.CREATED, len(listed))
        )

    def _template(self, announcement: Recent, created_at: datetime) -> dict[str, Any]:
        """Return the row of which each user gets a copy with ids of its own."""
        draft = Draft(
            id=new_id(),
            kind=KINDS["announcement"],
            user_id=new_id(),
            source_event_id=str(announcement.id),
            data={**announcement.data, "announcement_id": str(announcement.id)},
            traceparent=announcement.traceparent,
        )
        text = NotificationText(
            language=DEFAULT_LANGUAGE, title=announcement.title, body=announcement.body
        )
        return self._row(draft, text, created_at)

    def _row(self, draft: Draft, text: NotificationText, created_at: datetime) -> dict[str, Any]:
        """Return what the statement needs of one notification: its row, item and event."""
        with within_trace(draft.traceparent):
            event = self._outbox.row(_announcement(draft, text, created_at))
        return {
            "id": draft.id,
            "user_id": draft.user_id,
            "source_event_id": draft.source_event_id,
            "type": draft.kind.type,
            "title": text.title,
            "body": text.body,
            "data": draft.data,
            "created_at": created_at,
            "category": draft.kind.category,
            "channels": sorted(draft.kind.channels),
            "item_type": "notification",
            "item": _item(draft, text, created_at),
            "traceparent": draft.traceparent,
            "caused_at": draft.caused_at,
            "event": event,
        }


def _item(draft: Draft, text: NotificationText, created_at: datetime) -> dict[str, Any]:
    """Return the feed's item: the notification as the list shows it, without its event id."""
    return {
        "id": draft.id,
        "type": draft.kind.type,
        "title": text.title,
        "body": text.body,
        "data": draft.data,
        "created_at": created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "read_at": None,
    }


def _announcement(
    draft: Draft, text: NotificationText, created_at: datetime
) -> NotificationCreated:
    return NotificationCreated(
        version=_FIRST_VERSION,
        notification_id=draft.id,
        user_id=draft.user_id,
        kind=draft.kind.type,
        title=text.title,
        created_at=created_at,
    )


def _notice(draft: Draft, text: NotificationText, written: Written, created_at: datetime) -> Notice:
    return Notice(
        id=draft.id,
        user_id=draft.user_id,
        event_id=written.event_id,
        source_event_id=draft.source_event_id,
        type=draft.kind.type,
        category=draft.kind.category,
        channels=written.channels,
        reachable=written.reachable,
        locale=text.language,
        title=text.title,
        body=text.body,
        data=draft.data,
        created_at=created_at,
        traceparent=draft.traceparent,
    )


class NotificationService:
    """A user's own notifications.

    Args:
        notifications: their repository.
        intake: takes announcements in before notifications are listed or counted.
        jobs: the jobs of the same transaction.
    """

    def __init__(
        self, *, notifications: NotificationRepository, intake: Intake, jobs: Jobs
    ) -> None:
        self._notifications = notifications
        self._intake = intake
        self._jobs = jobs

    async def page(
        self, user_id: UUID, wanted: PageRequest[FeedPosition], *, unread: bool | None
    ) -> PageRows[Notification, FeedPosition]:
        """Return one page, newest first."""
        await self._intake.take_in_for(user_id)
        return await self._notifications.page(user_id, wanted, unread=unread)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete notifications of a user, at most `limit`, and return how many."""
        return await self._notifications.erase(user_id, limit=limit)

    async def count_unread(self, user_id: UUID) -> int:
        """Return how many notifications the user has not read."""
        await self._intake.take_in_for(user_id)
        return await self._notifications.count_unread(user_id)

    async def mark_all_read(self, user_id: UUID, *, last_event_id: int | None) -> int:
        """Mark unread notifications as read; return how many are unread after that.

        It marks the newest READ_AT_ONCE, and enqueues a job for others.

        Args:
            user_id: whose.
            last_event_id: newer ones stay unread; None marks all that there are.
        """
        await self._intake.take_in_for(user_id)
        marked = await self._notifications.mark_all_read(
            user_id,
            last_event_id=MAX_INTEGER if last_event_id is None else last_event_id,
            limit=READ_AT_ONCE,
        )
        if marked.count == READ_AT_ONCE and marked.newest is not None:
            # Up to the newest of them: what is written later was not there when the user asked.
            await self._jobs.enqueue(MarkAllRead(user_id=user_id, last_event_id=marked.newest))
        return await self._notifications.count_unread(user_id)

    async def mark_read(self, user_id: UUID, notification_id: UUID) -> Notification:
        """Mark a notification as read and return it. If repeated, the first `read_at` stays.

        Raises:
            NotificationNotFound: it does not exist, or belongs to another user.
        """
        notification = await self._notifications.mark_read(user_id, notification_id)
        if notification is None:
            message = (
                f"You have no notification {notification_id}. Take the id from the list of your "
                "notifications."
            )
            raise NotificationNotFound(message)
        return notification
