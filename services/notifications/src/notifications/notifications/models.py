"""The table of notifications, with whether each was read."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base


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
