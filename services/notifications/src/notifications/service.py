"""Use cases of notifications: tell a user something, list it, mark it as read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database import before_commit, new_id
from chassis.messaging import Outbox
from chassis.telemetry.tracing import current_traceparent, within_trace
from contracts.notifications import NotificationCreated
from notifications.errors import NotificationNotFound
from notifications.feed.service import Entry, Feed
from notifications.models import Notification
from notifications.repository import NotificationRepository

ORDER_PLACED = "order.placed"
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a user is to be told, because of which event, in which trace."""

    id: UUID
    user_id: UUID
    source_event_id: str
    type: str
    title: str
    body: str
    data: dict[str, Any]
    traceparent: str | None


class Notifier:
    """Collects what one transaction tells, and writes all of it at its end.

    A feed is locked from the taking of its number to the commit. So numbers are taken last, and a
    batch of messages takes them in one statement, in an order that all transactions share.

    Args:
        session: the transaction.
        notifications: their repository.
        feed: of the same transaction.
        outbox: likewise.
    """

    def __init__(
        self,
        *,
        session: AsyncSession,
        notifications: NotificationRepository,
        feed: Feed,
        outbox: Outbox,
    ) -> None:
        self._session = session
        self._notifications = notifications
        self._feed = feed
        self._outbox = outbox
        self._drafts: dict[tuple[str, UUID], Draft] = {}

    def order_placed(
        self, *, source_event_id: str, customer_id: UUID, order_id: UUID, total: dict[str, Any]
    ) -> None:
        """Tell a customer that the order has arrived."""
        self._add(
            Draft(
                id=new_id(),
                user_id=customer_id,
                source_event_id=source_event_id,
                type=ORDER_PLACED,
                title="Order placed",
                body=f"We have received your order {order_id}.",
                data={"order_id": str(order_id), "total": total},
                traceparent=current_traceparent(),
            )
        )

    def _add(self, draft: Draft) -> None:
        if not self._drafts:
            before_commit(self._session, self._write)
        self._drafts.setdefault((draft.source_event_id, draft.user_id), draft)

    async def _write(self, _: AsyncSession) -> None:
        drafts, self._drafts = self._drafts, {}
        told = await self._notifications.told([event for event, _ in drafts])
        fresh = [draft for key, draft in drafts.items() if key not in told]
        if not fresh:
            return
        event_ids = await self._feed.take([draft.user_id for draft in fresh])
        numbered = list(zip(fresh, event_ids, strict=True))
        created_at = await self._notifications.insert(
            [_row(draft, event_id) for draft, event_id in numbered]
        )
        await self._feed.write(
            [_entry(draft, event_id, created_at) for draft, event_id in numbered]
        )
        for draft in fresh:
            with within_trace(draft.traceparent):
                self._outbox.add(_announcement(draft, created_at))


def _row(draft: Draft, event_id: int) -> dict[str, Any]:
    return {
        "id": draft.id,
        "user_id": draft.user_id,
        "event_id": event_id,
        "source_event_id": draft.source_event_id,
        "type": draft.type,
        "title": draft.title,
        "body": draft.body,
        "data": draft.data,
    }


def _entry(draft: Draft, event_id: int, created_at: datetime) -> Entry:
    """Make the feed's item: the notification as the list shows it when it is new."""
    return Entry(
        user_id=draft.user_id,
        event_id=event_id,
        type="notification",
        data={
            "id": str(draft.id),
            "event_id": event_id,
            "type": draft.type,
            "title": draft.title,
            "body": draft.body,
            "data": draft.data,
            "created_at": created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "read_at": None,
        },
        traceparent=draft.traceparent,
    )


def _announcement(draft: Draft, created_at: datetime) -> NotificationCreated:
    return NotificationCreated(
        version=_FIRST_VERSION,
        notification_id=draft.id,
        user_id=draft.user_id,
        kind=draft.type,
        title=draft.title,
        created_at=created_at,
    )


class NotificationService:
    """A user's own notifications.

    Args:
        notifications: their repository.
    """

    def __init__(self, *, notifications: NotificationRepository) -> None:
        self._notifications = notifications

    async def page(
        self, user_id: UUID, *, before: int | None, unread: bool | None, limit: int
    ) -> tuple[Sequence[Notification], int | None]:
        """List one page, newest first; answers also the event id that the next begins below."""
        found = await self._notifications.page(
            user_id, before=before, unread=unread, limit=limit + 1
        )
        page = found[:limit]
        return page, page[-1].event_id if len(found) > limit else None

    async def count_unread(self, user_id: UUID) -> int:
        """Count what the user has not read."""
        return await self._notifications.count_unread(user_id)

    async def mark_read(self, user_id: UUID, notification_id: UUID) -> Notification:
        """Mark one as read; again, it keeps the first time.

        Raises:
            NotificationNotFound: there is none, or it is another user's.
        """
        notification = await self._notifications.mark_read(user_id, notification_id)
        if notification is None:
            message = f"you have no notification {notification_id}: take its id from your list"
            raise NotificationNotFound(message)
        return notification
