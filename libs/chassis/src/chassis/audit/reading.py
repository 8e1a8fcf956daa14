"""Lists the entries of the audit log, the newest first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData, select

from chassis.audit.tables import AUDIT_LOG, declare_audit_table
from chassis.database.unit import Unit
from chassis.paging import BigSerial, ListOrder, PageRequest, PageRows, Position
from chassis.times import Moment

_TABLES = MetaData()
declare_audit_table(_TABLES)
_LOG = _TABLES.tables[AUDIT_LOG]


class EntryPosition(Position):
    """The position of an entry in the list; the id orders entries of the same transaction."""

    at: Moment
    id: BigSerial


_NEWEST_FIRST = ListOrder(EntryPosition, _LOG.c.at, _LOG.c.id, descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries to list: without arguments, all.

    Attributes:
        action: what was done.
        subject: what it was done to.
        actor_id: the user who did it, or the owner of the API key.
        since: the earliest time.
        before: the time at which entries are too new.
    """

    action: str | None = None
    subject: str | None = None
    actor_id: UUID | None = None
    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. See ``Actor`` for who acted, and ``AuditLog.append`` for the rest."""

    id: int
    at: datetime
    actor_kind: str
    actor_id: UUID | None
    session_id: UUID | None
    api_key_id: UUID | None
    methods: list[str] | None
    action: str
    subject: str
    details: Mapping[str, Any]
    address: str | None
    request_id: str | None
    traceparent: str | None


class AuditReader:
    """The entries that one transaction sees.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def page(
        self, wanted: PageRequest[EntryPosition], *, only: EntryFilter
    ) -> PageRows[Entry, EntryPosition]:
        """Return a page of entries, the newest first."""
        statement = select(_LOG)
        if only.action is not None:
            statement = statement.where(_LOG.c.action == only.action)
        if only.subject is not None:
            statement = statement.where(_LOG.c.subject == only.subject)
        if only.actor_id is not None:
            statement = statement.where(_LOG.c.actor_id == only.actor_id)
        if only.since is not None:
            statement = statement.where(_LOG.c.at >= only.since)
        if only.before is not None:
            statement = statement.where(_LOG.c.at < only.before)
        rows = await self._unit.session.execute(_NEWEST_FIRST.bounded(statement, wanted))
        return _NEWEST_FIRST.cut([Entry(**row) for row in rows.mappings()], wanted)
