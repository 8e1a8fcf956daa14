"""The tables of the live feed, the states of a connection that follows it, and its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import BigInteger, DateTime, Index, Text, false, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.database.unit import Unit
from notifications.metadata import Base

FEED_KEPT = timedelta(days=30)
"""How long an entry is kept. A client that resumes from an older entry gets a reset."""
_BOUNDS = ("process", "user")
_PING_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_AGE_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120)  # an objective has 2 s


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
    """One item as it is sent. ``traceparent`` is that of the work that caused it.

    ``caused_at`` is the time of the event that caused it. It is NULL for items that no event
    caused, and for those that were written before the column.
    """

    __tablename__ = "feed_entries"
    __table_args__ = (Index("ix_feed_entries_created_at", "created_at"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    traceparent: Mapped[str | None] = mapped_column(Text)
    caused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Announcements(Protocol):
    """Takes announcements into the feeds of the users whose sockets a process holds.

    Attributes:
        seen: the number of the last announcement that the feeds of all these users have taken in.
    """

    seen: int

    def wake(self) -> None:
        """Take in what is new, soon."""

    async def take_in_for(self, unit: Unit, user_id: UUID) -> None:
        """Take in what a user has missed, as the first step of a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Items follow after `position`; `reset` if the client's own position can't be resumed."""

    position: int
    reset: bool


class Transport(StrEnum):
    """How a client follows the feed."""

    WEBSOCKET = "websocket"
    SSE = "sse"


class CursorState(StrEnum):
    """Where a connection is between the reader, which reads its items, and its writer."""

    STARTING = "starting"
    """Its position is not known yet. A hint needs no mark: the first read comes later."""
    IDLE = "idle"
    """The writer has taken all items that are known."""
    DUE = "due"
    """Newer items may exist. It waits for the reader."""
    READING = "reading"
    """The reader waits for the database."""
    READING_AGAIN = "reading again"
    """As READING, and a hint came after the query was sent, which may not see its items."""
    HOLDING = "holding"
    """A page waits for the writer. Nothing is read, so a slow client holds two pages at most."""
    HOLDING_MORE = "holding more"
    """As HOLDING, and newer items may exist."""
    ENDED = "ended"
    """It is about to be closed. Items are neither read nor sent."""


class CursorStep(StrEnum):
    """What happens to a connection: by a hint or poll, by the reader, by its writer."""

    PLACED = "placed"
    HINTED = "hinted"
    READ = "read"
    FOUND_NOTHING = "found nothing"
    FOUND_ALL = "found all"
    FOUND_PAGE = "found a page"
    FAILED = "failed"
    TAKEN = "taken"
    ENDED = "ended"


TRANSITIONS: Mapping[CursorState, Mapping[CursorStep, CursorState]] = {
    CursorState.STARTING: {
        CursorStep.HINTED: CursorState.STARTING,
        CursorStep.PLACED: CursorState.DUE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.IDLE: {
        CursorStep.HINTED: CursorState.DUE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.DUE: {
        CursorStep.HINTED: CursorState.DUE,
        CursorStep.READ: CursorState.READING,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.READING: {
        CursorStep.HINTED: CursorState.READING_AGAIN,
        CursorStep.FOUND_NOTHING: CursorState.IDLE,
        CursorStep.FOUND_ALL: CursorState.HOLDING,
        CursorStep.FOUND_PAGE: CursorState.HOLDING_MORE,
        CursorStep.FAILED: CursorState.DUE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.READING_AGAIN: {
        CursorStep.HINTED: CursorState.READING_AGAIN,
        CursorStep.FOUND_NOTHING: CursorState.DUE,
        CursorStep.FOUND_ALL: CursorState.HOLDING_MORE,
        CursorStep.FOUND_PAGE: CursorState.HOLDING_MORE,
        CursorStep.FAILED: CursorState.DUE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.HOLDING: {
        CursorStep.HINTED: CursorState.HOLDING_MORE,
        CursorStep.TAKEN: CursorState.IDLE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    CursorState.HOLDING_MORE: {
        CursorStep.HINTED: CursorState.HOLDING_MORE,
        CursorStep.TAKEN: CursorState.DUE,
        CursorStep.ENDED: CursorState.ENDED,
    },
    # The reader or a hint may not know yet that it has ended.
    CursorState.ENDED: dict.fromkeys(CursorStep, CursorState.ENDED),
}
"""The life of a connection's cursor. A step that is not listed is a fault of our code."""


class FeedMetrics:
    """The metrics of the connections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "feed_connections",
            "Connections of the live feed that are authenticated, by transport.",
            ("transport",),
            registry=registry,
        )
        self.refused = Counter(
            "feed_connections_refused",
            "Connections that were refused because the process or the user had too many, by that "
            "bound.",
            ("bound",),
            registry=registry,
        )
        for bound in _BOUNDS:
            self.refused.labels(bound)
        self.closes = Counter(
            "feed_closes",
            "Connections that ended, by transport and close code; `client`: the client closed it.",
            ("transport", "code"),
            registry=registry,
        )
        self.dropped = Counter(
            "feed_dropped_items",
            "Items in the buffer of a connection that was closed because its client reads too "
            "slowly. The client gets them when it resumes.",
            registry=registry,
        )
        self.ping = Histogram(
            "feed_ping_seconds",
            "From a `ping` message on a socket to the client's `pong`.",
            buckets=_PING_BUCKETS,
            registry=registry,
        )
        self.age = Histogram(
            "feed_item_age_seconds",
            "From the event that caused an item, as its producer's clock has it, to its push on a "
            "connection that was open by then.",
            buckets=_AGE_BUCKETS,
            registry=registry,
        )
