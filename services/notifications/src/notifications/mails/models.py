"""The table of mails, and the job that sends one."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
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

    Only a waiting mail has an address and a token; the table's constraints say so as well. The text
    is not stored: it is made of the row when the mail is sent. ``source_event_id`` is the event
    that asked for the mail. It is unique, so that one event never sends two mails, even after the
    inbox has deleted the event.
    """

    __tablename__ = "mails"
    __table_args__ = (
        UniqueConstraint("source_event_id"),
        CheckConstraint("state IN ('waiting', 'sent', 'rejected', 'expired')", name="state_known"),
        CheckConstraint(
            "(state = 'waiting') = (recipient IS NOT NULL)", name="address_while_waiting"
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


class SendMail(JobArguments):
    """Send a mail. The row has the address and the secret, because a job is kept for a day."""

    kind = "notifications.send-mail.v1"
    queue = QUEUE

    mail_id: UUID
