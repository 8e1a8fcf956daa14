"""The table of all kinds of notifications, and a notification as the channels get it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Category(StrEnum):
    """What a notification is about; users choose channels for each category."""

    ORDERS = "orders"
    SECURITY = "security"
    ANNOUNCEMENTS = "announcements"


class Channel(StrEnum):
    """How a notification reaches its user. ``in_app`` is the list and the live feed."""

    IN_APP = "in_app"
    EMAIL = "email"
    WEBHOOK = "webhook"


class Outcome(StrEnum):
    """What became of a notification on one channel."""

    CREATED = "created"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationKind:
    """What one event makes of it.

    Attributes:
        type: the notification's type, as the API shows it.
        event: the type of the event that makes it; None if a request or a job makes it.
        recipient: who gets it, in words.
        category: under which users switch its channels off.
        channels: its channels, unless the user has switched one off.
        template: the name of its texts.
    """

    type: str
    event: str | None
    recipient: str
    category: Category
    channels: frozenset[Channel]
    template: str


_IN_APP = frozenset({Channel.IN_APP})
_NO_MAIL = frozenset({Channel.IN_APP, Channel.WEBHOOK})
# An intruder may have added the webhook.
_NO_WEBHOOK = frozenset({Channel.IN_APP, Channel.EMAIL})
_ALL = frozenset(Channel)


def _order(change: str, channels: frozenset[Channel]) -> NotificationKind:
    return NotificationKind(
        type=f"order.{change}",
        event=f"order.{change}.v1",
        recipient="the customer",
        category=Category.ORDERS,
        channels=channels,
        template=f"order-{change}",
    )


def _security(change: str, channels: frozenset[Channel]) -> NotificationKind:
    return NotificationKind(
        type=f"user.{change}",
        event=f"user.{change}.v1",
        recipient="the user",
        category=Category.SECURITY,
        channels=channels,
        template=f"user-{change.replace('_', '-')}",
    )


KINDS: Mapping[str, NotificationKind] = {
    kind.type: kind
    for kind in (
        _order("placed", _ALL),
        _order("confirmed", _NO_MAIL),
        _order("shipped", _ALL),
        _order("delivered", _NO_MAIL),
        _order("cancelled", _ALL),
        _order("refunded", _ALL),
        _security("password_changed", _NO_WEBHOOK),
        _security("second_factor_changed", _NO_WEBHOOK),
        _security("api_key_created", _NO_WEBHOOK),
        # No mail: the previous address gets one of its own, and this would go to the new one.
        _security("email_changed", _IN_APP),
        NotificationKind(
            type="webhook.disabled",
            event=None,
            recipient="the owner",
            category=Category.SECURITY,
            channels=_IN_APP,
            template="webhook-disabled",
        ),
        NotificationKind(
            type="announcement",
            event=None,
            recipient="all users",
            category=Category.ANNOUNCEMENTS,
            channels=_IN_APP,
            template="announcement",
        ),
    )
}
"""All kinds, by their type."""


def table_of_kinds() -> str:
    """Return all kinds as a table in Markdown, for the API's document."""
    rows = [
        f"| `{kind.type}` | {'this service' if kind.event is None else f'`{kind.event}`'} |"
        f" {kind.recipient} | `{kind.category}` |"
        f" {', '.join(f'`{channel}`' for channel in Channel if channel in kind.channels)} |"
        f" `{kind.template}` |"
        for kind in KINDS.values()
    ]
    heading = [
        "| type | made by | goes to | category | channels | texts |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*heading, *rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationText:
    """The text of a notification in plain text, and its language."""

    language: str
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notification that a transaction has decided to send, for its other channels.

    Attributes:
        id: the notification's id.
        user_id: who gets it.
        event_id: its place in the user's feed; None if the user has switched ``in_app`` off, so
            that no list has it.
        source_event_id: the event that caused it. With the user it identifies the notification: a
            channel that keeps it unique never sends twice for one event.
        type: the kind's.
        category: the kind's.
        channels: those that the user wants, decided once, when the notification was written. A
            channel that is not among them does nothing.
        reachable: those of `channels` for which the user has any receiver: a verified address, an
            enabled webhook. The others need not be asked, which saves their statements.
        locale: the language of the texts.
        title: plain text.
        body: plain text.
        data: depends on the type.
        created_at: when it was written, by this process's clock.
        traceparent: the trace of the event.
    """

    id: UUID
    user_id: UUID
    event_id: int | None
    source_event_id: str
    type: str
    category: Category
    channels: frozenset[Channel]
    reachable: frozenset[Channel] = frozenset(Channel)
    locale: str
    title: str
    body: str
    data: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    traceparent: str | None
