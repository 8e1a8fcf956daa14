"""What a service offers for comparison, declared as data beside its routes and subscriptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.messaging.events import PublicEvent

FIRST_ID = UUID(int=0)
"""A position before each id."""


def first_id_at(seconds: float) -> UUID:
    """Return the smallest UUID of version 7 of a time, in seconds since the epoch (RFC 9562)."""
    return UUID(int=int(seconds * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A table, read page by page in the order of a unique column.

    Attributes:
        sql: returns the rows whose ``position`` is above ``$1``, at most ``$2`` of them, in its
            order. Its other columns are those of the declaration that has it. Several rows may have
            the same position, if no page ends between them. A row whose ``key`` is null only says
            that there is more to read.
        start: a position before the first one.
        recent: whether to read only rows that were inserted in the window; their positions are
            UUIDs of version 7, made when the row was.
    """

    sql: str
    start: UUID | str | int = FIRST_ID
    recent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """Rows with a version, each of whose changes is announced by one event.

    Attributes:
        name: of one such row, in the singular.
        events: all types that announce a change, of one topic, with the snapshots.
        rows: columns ``key`` and ``subject``, those of the events, as texts; ``version``;
            ``created_at``: when the row got its first version; and ``changed_at``: when it got this
            one, or a time before that, if the table does not record it. If the events have a level,
            ``level`` is that of the row.
        ended_by: the types after which a subject may have no row.
        excused: columns ``key``: keys whose rows were erased, although their events are present.
        level: returns an amount that the event announces, of which each change has a cause; None if
            the event has none.
        causes: columns ``key``, ``subject``, ``delta`` and ``at``: what changed the level, by how
            much and when. Rows with the same ``at`` may have been one change.
    """

    name: str
    events: Sequence[type[PublicEvent]]
    rows: Sequence[Rows]
    ended_by: Sequence[type[PublicEvent]] = ()
    excused: Rows | None = None
    level: Callable[[Any], int | None] | None = None
    causes: Sequence[Rows] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Rows that a consumer writes, one for each event that it handles.

    Attributes:
        name: of one such row, in the singular.
        of: the types of these events.
        key: returns the key by which an event, its row and an excuse are joined.
        rows: columns ``key``; ``event_id``, the id of the event; and ``at``, when it was written.
            All are texts but ``at``.
        excused: columns ``key``: keys for which an event may have no row.
    """

    name: str
    of: Sequence[type[PublicEvent]]
    key: Callable[[Any], str]
    rows: Rows
    excused: Rows | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All that a service offers for comparison."""

    aggregates: Sequence[Aggregate] = ()
    effects: Sequence[Effect] = ()
