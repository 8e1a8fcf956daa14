"""Use cases of notifications: notify a user, list notifications, mark one as read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database import new_id
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows
from chassis.telemetry.tracing import current_traceparent, within_trace
from contracts.notifications import NotificationCreated
from notifications.feed.service import Feed
from notifications.kinds.models import KINDS, Notice
from notifications.notifications.errors import NotificationNotFound
from notifications.notifications.models import Notification
from notifications.notifications.repository import FeedPosition, NotificationRepository

_FIRST_VERSION = 1


class _Text(NamedTuple):
    title: str
    body: str


_ORDER_TEXTS: Mapping[str, _Text] = {
    "order.placed": _Text("Order placed", "We have received your order {order_id}."),
    "order.confirmed": _Text(
        "Order confirmed", "We have confirmed your order {order_id} and prepare it for shipping."
    ),
    "order.shipped": _Text("Order shipped", "Your order {order_id} is on its way."),
    "order.delivered": _Text("Order delivered", "Your order {order_id} has arrived."),
    "order.cancelled": _Text("Order cancelled", "Your order {order_id} was cancelled."),
    "order.refunded": _Text(
        "Order refunded", "We have refunded the payment for your order {order_id}."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification to be written, with the event that caused it and its trace."""

    id: UUID
    user_id: UUID
    source_event_id: str
    type: str
    title: str
    body: str
    data: dict[str, Any]
    traceparent: str | None


class Notifier:
    """Collects the notifications of one transaction; ``write_all`` writes them at its end.

    A user's feed is locked from taking its number to the commit. So they are written last: one
    statement writes all notifications of a batch, with their feed items and their events.

    Args:
        notifications: the repository.
        feed: the feed of the same transaction.
        outbox: the outbox of the same transaction.
    """

    def __init__(
        self,
        *,
        notifications: NotificationRepository,
        feed: Feed,
        outbox: Outbox,
    ) -> None:
        self._notifications = notifications
        self._feed = feed
        self._outbox = outbox
        self._drafts: dict[tuple[str, UUID], Draft] = {}

    def order_changed(
        self,
        type_: str,
        *,
        source_event_id: str,
        customer_id: UUID,
        order_id: UUID,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Notify a customer of what happened to an order.

        Args:
            type_: what happened: a type of ``KINDS``.
            source_event_id: the event that says so; it never notifies a customer twice.
            customer_id: the user to notify.
            order_id: the order; also the first member of the notification's data.
            data: further members.
        """
        text = _ORDER_TEXTS[type_]
        self._add(
            Draft(
                id=new_id(),
                user_id=customer_id,
                source_event_id=source_event_id,
                type=type_,
                title=text.title,
                body=text.body.format(order_id=order_id),
                data={"order_id": str(order_id), **(data or {})},
                traceparent=current_traceparent(),
            )
        )

    def _add(self, draft: Draft) -> None:
        self._drafts.setdefault((draft.source_event_id, draft.user_id), draft)

    async def write_all(self) -> list[Notice]:
        """Write the notifications that were collected, their feed items and their events.

        Returns:
            Those that were written, in order. Those that were written before, by another delivery
            of their event, are left out.
        """
        drafts, self._drafts = self._drafts, {}
        if not drafts:
            return []
        created_at = datetime.now(UTC)
        drafted = list(drafts.values())
        written = await self._notifications.write(
            [self._row(draft, created_at) for draft in drafted]
        )
        self._feed.announce_items(drafted[place].user_id for place, _ in written)
        return [
            _notice(drafted[place], event_id=event_id, created_at=created_at)
            for place, event_id in written
        ]

    def _row(self, draft: Draft, created_at: datetime) -> dict[str, Any]:
        """Return what the statement needs of one notification: its row, item and event."""
        with within_trace(draft.traceparent):
            event = self._outbox.row(_announcement(draft, created_at))
        return {
            "id": draft.id,
            "user_id": draft.user_id,
            "source_event_id": draft.source_event_id,
            "type": draft.type,
            "title": draft.title,
            "body": draft.body,
            "data": draft.data,
            "created_at": created_at,
            "item_type": "notification",
            "item": _item(draft, created_at),
            "traceparent": draft.traceparent,
            "event": event,
        }


def _notice(draft: Draft, *, event_id: int, created_at: datetime) -> Notice:
    kind = KINDS[draft.type]
    return Notice(
        id=draft.id,
        user_id=draft.user_id,
        event_id=event_id,
        source_event_id=draft.source_event_id,
        type=draft.type,
        category=kind.category,
        channels=kind.channels,
        locale="en",
        title=draft.title,
        body=draft.body,
        data=draft.data,
        created_at=created_at,
        traceparent=draft.traceparent,
    )


def _item(draft: Draft, created_at: datetime) -> dict[str, Any]:
    """Return the feed's item: the notification as the list shows it, without its event id."""
    return {
        "id": draft.id,
        "type": draft.type,
        "title": draft.title,
        "body": draft.body,
        "data": draft.data,
        "created_at": created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "read_at": None,
    }


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
        self, user_id: UUID, wanted: PageRequest[FeedPosition], *, unread: bool | None
    ) -> PageRows[Notification, FeedPosition]:
        """Return one page, newest first."""
        return await self._notifications.page(user_id, wanted, unread=unread)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete notifications of a user, at most `limit`, and return how many."""
        return await self._notifications.erase(user_id, limit=limit)

    async def count_unread(self, user_id: UUID) -> int:
        """Return how many notifications the user has not read."""
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
