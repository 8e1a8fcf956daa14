"""The tables of the live feed: each user's items, and the last event id of each user."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text, false, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base

FEED_KEPT = timedelta(days=30)
"""How long an entry is kept. A client that resumes from an older entry gets a reset."""


class FeedHead(Timestamped, Base):
    """The last event id that was issued in a user's feed.

    A transaction holds the row's lock from taking a number to its commit. So numbers have no gaps,
    and become visible in their order. With a sequence, 7 could become visible before the 6 of a
    slower transaction.

    A closed feed gets no more numbers: the account of its user was deleted.

    ``announced`` is the last announcement that the feed has taken in. It rises under the same lock.
    """

    __tablename__ = "feed_heads"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_seq: Mapped[int] = mapped_column(BigInteger)
    is_closed: Mapped[bool] = mapped_column(server_default=false())
    announced: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class FeedEntry(Timestamped, Base):
    """One item as it is sent. ``traceparent`` is that of the work that caused it."""

    __tablename__ = "feed_entries"
    __table_args__ = (Index("ix_feed_entries_created_at", "created_at"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    traceparent: Mapped[str | None] = mapped_column(Text)
