"""The table of notifications, with whether each was read, and the job that reads many."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from notifications.metadata import Base

NOTIFICATIONS_KEPT = timedelta(days=90)
"""How long a notification is kept in the list: longer than an entry of the feed, which shows it."""

READ_AT_ONCE = 10_000
"""How many notifications one request marks as read; a job marks those beyond."""


class Notification(Timestamped, Base):
    """One notification to one user.

    ``event_id`` is its position in the user's feed, and in the list. ``source_event_id`` is the
    event that caused it. It is unique per user, so that one event never notifies a user twice, even
    after the inbox has deleted the event.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("user_id", "event_id"),
        UniqueConstraint("source_event_id", "user_id"),
        Index(
            "ix_notifications_unread",
            "user_id",
            "event_id",
            postgresql_where=text("read_at IS NULL"),
        ),
        Index(
            "ix_notifications_read",
            "user_id",
            "event_id",
            postgresql_where=text("read_at IS NOT NULL"),
        ),
        Index("ix_notifications_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    event_id: Mapped[int] = mapped_column(BigInteger)
    source_event_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class MarkAllRead(JobArguments):
    """Mark the unread notifications of a user as read, up to a place in the feed."""

    kind = "notifications.mark-all-read.v1"

    user_id: UUID
    last_event_id: int
