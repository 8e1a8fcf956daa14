"""The table of announcements, and how many of them a user gets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base

ANNOUNCEMENTS_KEPT = timedelta(days=90)
"""How long an announcement is kept. A user who comes later does not get it."""

MOST_MISSED = 50
"""Of the announcements that a user has missed, only so many of the newest are taken in."""


class Announcement(Timestamped, Base):
    """A text for every user who has joined before it.

    ``seq`` is taken under a lock that is held to the commit. So announcements become visible in
    the order of their numbers, and whoever has read up to one has missed none before it.
    """

    __tablename__ = "announcements"
    __table_args__ = (
        UniqueConstraint("seq"),
        Index("ix_announcements_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    author_id: Mapped[UUID]
    traceparent: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """An announcement as it is taken in.

    Attributes:
        live: whether it is still given to users: it has neither expired nor been withdrawn.
    """

    id: UUID
    seq: int
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
    traceparent: str | None
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A user whose feed has just taken in all announcements up to the newest.

    Attributes:
        announced: the last announcement that was taken in before.
        joined_at: when the user registered.
    """

    user_id: UUID
    announced: int
    joined_at: datetime

    def gets(self, announcement: Recent) -> bool:
        """Return whether the user is still to get `announcement`."""
        return (
            announcement.live
            and announcement.seq > self.announced
            and announcement.created_at >= self.joined_at
        )
