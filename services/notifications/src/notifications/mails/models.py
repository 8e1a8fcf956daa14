"""The table of mails, and the job that sends one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from notifications.kinds.models import Category
from notifications.mail_texts.models import MailKind
from notifications.metadata import Base

QUEUE = "mail"

NOTICE_KEPT = timedelta(days=2)
"""How long the mail server may be unavailable before a mail without a token is given up."""

MAILS_KEPT = timedelta(days=30)
"""How long it is known that a mail was sent, and what became of it."""


class MailState(StrEnum):
    """What became of a mail."""

    WAITING = "waiting"
    SENT = "sent"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Mail(Timestamped, Base):
    """One mail to one address.

    Only a waiting mail has an address and a token, or content; the table's constraints say so as
    well. The text is not stored: it is made of the row when the mail is sent.

    Attributes:
        source_event_id: the event that asked for the mail; for a notification, the event and the
            user. It is unique, so that one event never sends two mails, even after the inbox has
            deleted the event.
        kind: names the templates.
        recipient: null for a notification, which goes to the address that the user has when it is
            sent.
        notification_id: null if the mail is no notification.
        category: the notification's category.
        content: what a notification's text is made of.
        error: why it was not accepted, without the words of the server.
    """

    __tablename__ = "mails"
    __table_args__ = (
        UniqueConstraint("source_event_id"),
        CheckConstraint("state IN ('waiting', 'sent', 'rejected', 'expired')", name="state_known"),
        CheckConstraint(
            "(state = 'waiting' AND notification_id IS NULL) = (recipient IS NOT NULL)",
            name="address_while_waiting",
        ),
        CheckConstraint(
            "(state = 'waiting' AND notification_id IS NOT NULL) = (content IS NOT NULL)",
            name="content_while_waiting",
        ),
        CheckConstraint(
            "(notification_id IS NULL) = (category IS NULL)", name="category_of_notification"
        ),
        CheckConstraint("state = 'waiting' OR token IS NULL", name="token_while_waiting"),
        CheckConstraint("(state = 'waiting') = (settled_at IS NULL)", name="settled_at_a_time"),
        Index("ix_mails_waiting", "expires_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_mails_settled_at", "settled_at", postgresql_where=text("state <> 'waiting'")),
        Index("ix_mails_user_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    source_event_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    recipient: Mapped[str | None] = mapped_column(Text)
    token: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    error: Mapped[str | None] = mapped_column(Text)
    notification_id: Mapped[UUID | None]
    category: Mapped[str | None] = mapped_column(Text)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailDraft:
    """A mail to be sent.

    Attributes:
        kind: names its templates.
        user_id: the user whom it concerns.
        source_event_id: the event that asks for it.
        recipient: the address.
        locale: the reader's language (BCP 47).
        token: the secret in its link; None if it has no link.
        expires_at: it is not sent later, and its secret is not kept longer.
    """

    kind: MailKind
    user_id: UUID
    source_event_id: str
    recipient: str = field(repr=False)
    locale: str
    token: str | None = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMail:
    """A mail that is not sent yet, with the address that it goes to now.

    Attributes:
        recipient: the address; None if the user of a notification has none any more.
        expired: whether it has expired, by the database's clock.
        allowed: whether it may be sent. A notification goes only to a verified address that no
            server has refused.
        content: ``title``, ``body`` and ``data`` of a notification.
    """

    id: UUID
    user_id: UUID
    kind: str
    locale: str
    recipient: str | None = field(repr=False)
    token: str | None = field(repr=False)
    expires_at: datetime
    created_at: datetime
    notification_id: UUID | None
    category: Category | None
    content: Mapping[str, Any] | None = field(repr=False)
    expired: bool
    allowed: bool

    @property
    def is_bounded(self) -> bool:
        """Whether it counts against the user's rate of mails."""
        return self.category not in {None, Category.SECURITY}


class SendMail(JobArguments):
    """Send a mail. The row has the address and the secret, because a job is kept for a day."""

    kind = "notifications.send-mail.v1"
    queue = QUEUE

    mail_id: UUID
