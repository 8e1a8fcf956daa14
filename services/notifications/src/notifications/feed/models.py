"""The items of each user's feed, and how far it has come."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base


class FeedHead(Timestamped, Base):
    """The last number that was given in a user's feed.

    Its row lock is held from the taking of a number to the commit: so numbers have no gaps, and
    are visible in their order. A sequence would show 7 before a slower transaction's 6.
    """

    __tablename__ = "feed_heads"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_seq: Mapped[int] = mapped_column(BigInteger)


class FeedEntry(Timestamped, Base):
    """One item as it is sent; ``traceparent`` is of the work that caused it."""

    __tablename__ = "feed_entries"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    traceparent: Mapped[str | None] = mapped_column(Text)
