"""Replays: the present state is published once more, for a consumer that knows nothing older.

A page of aggregates is one transaction: it locks their rows, writes their snapshots to the outbox,
and moves the cursor. So a snapshot stands between the events before and after it, and a replay
that was killed goes on after its last page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.errors import is_infrastructure_error
from chassis.database.models import new_id
from chassis.errors import NotFound
from chassis.messaging.consuming.parking import describe
from chassis.messaging.events import PublicEvent
from chassis.wiring import ServiceResources

log = structlog.get_logger(__name__)

PAGE = 100
_BACKLOG = 1000
_POLL_SECONDS = 1.0
_PAUSE_SECONDS = 0.05  # for the relay, where the outbox is full

_REQUEST = text(
    """
    INSERT INTO replays (id, snapshot, requested_by) VALUES (:id, :snapshot, :requested_by)
    ON CONFLICT (snapshot) WHERE finished_at IS NULL DO NOTHING
    """
)
_UNFINISHED = text(
    "SELECT * FROM replays WHERE snapshot = ANY (:snapshots) AND finished_at IS NULL"
    " ORDER BY snapshot"
)
_RECENT = text("SELECT * FROM replays ORDER BY requested_at DESC, id DESC LIMIT :limit")
_GET = text("SELECT * FROM replays WHERE id = :id")
_TAKE = text(
    """
    SELECT id, snapshot, cursor FROM replays WHERE finished_at IS NULL
    ORDER BY requested_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
_IS_FULL = text("SELECT count(*) >= :rows FROM (SELECT FROM outbox LIMIT :rows) AS backlog")
_MOVE = text(
    """
    UPDATE replays SET cursor = coalesce(:cursor, cursor), emitted = emitted + :emitted,
        finished_at = CASE WHEN :finished THEN clock_timestamp() END
    WHERE id = :id
    """
)
_FAIL = text("UPDATE replays SET finished_at = clock_timestamp(), error = :error WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Snapshot[R: ServiceResources]:
    """What a service can publish anew.

    Attributes:
        event: the type of the events.
        page: locks the next aggregates FOR NO KEY UPDATE, in the order of their ids, and gives
            their snapshots; those after the id, from the first where it is None.
    """

    event: type[PublicEvent]
    page: Callable[[AsyncSession, R, UUID | None, int], Awaitable[Sequence[PublicEvent]]]

    @property
    def name(self) -> str:
        """The event's type names it."""
        return self.event.type


class UnknownSnapshot(NotFound):
    """The service can publish no such snapshot."""

    name = "unknown-snapshot"
    title = "This service has no such snapshot."


class ReplayNotFound(NotFound):
    """No replay has this id."""

    name = "replay-not-found"
    title = "There is no such replay."


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One replay; ``error`` says why it ended before its end, ``cursor`` how far it came."""

    id: UUID
    snapshot: str
    requested_by: str
    requested_at: datetime
    cursor: str | None
    emitted: int
    finished_at: datetime | None
    error: str | None


class Replays[R: ServiceResources]:
    """The replays of one service.

    Args:
        resources: of the process.
        snapshots: what can be published.
        page: how many aggregates are locked at once.
    """

    def __init__(
        self, *, resources: R, snapshots: Collection[Snapshot[R]], page: int = PAGE
    ) -> None:
        self._resources = resources
        self._snapshots: Mapping[str, Snapshot[R]] = {one.name: one for one in snapshots}
        self._page = page
        self._wake = asyncio.Event()

    async def request(self, session: AsyncSession, name: str | None, *, by: str) -> list[Replay]:
        """Ask for one snapshot, or for all; one that is under way is not begun anew.

        Raises:
            UnknownSnapshot: the service has none of this name.
        """
        if name is not None and name not in self._snapshots:
            known = ", ".join(sorted(self._snapshots)) or "none"
            message = f"there is no snapshot {name!r} here; there are: {known}"
            raise UnknownSnapshot(message)
        names = list(self._snapshots) if name is None else [name]
        for one in sorted(names):
            await session.execute(_REQUEST, {"id": new_id(), "snapshot": one, "requested_by": by})
        self._wake.set()
        return _replays(await session.execute(_UNFINISHED, {"snapshots": names}))

    async def recent(self, session: AsyncSession, *, limit: int = 100) -> list[Replay]:
        """List the newest."""
        return _replays(await session.execute(_RECENT, {"limit": limit}))

    async def get(self, session: AsyncSession, replay_id: UUID) -> Replay:
        """Give one, or ReplayNotFound."""
        found = _replays(await session.execute(_GET, {"id": replay_id}))
        if not found:
            message = f"there is no replay {replay_id}: list them to see what is"
            raise ReplayNotFound(message)
        return found[0]

    async def run(self) -> None:
        """Work on what was asked for until cancelled; a database that is away is waited for."""
        while True:
            self._wake.clear()
            try:
                worked = await self.work_page()
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("replay pauses", error=describe(error))
                worked = False
            if not worked:
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def work_page(self) -> bool:
        """Publish one page of the oldest replay; says whether there was one to work on."""
        replay_id: UUID | None = None
        try:
            async with self._resources.database.transaction() as session:
                row = (await session.execute(_TAKE)).one_or_none()
                if row is None:
                    return False
                replay_id = row.id
                full = bool(await session.scalar(_IS_FULL, {"rows": _BACKLOG}))
                if not full:
                    await self._publish(session, row.id, row.snapshot, row.cursor)
        except Exception as error:
            if replay_id is None or is_infrastructure_error(error):
                raise
            await self._fail(replay_id, error)
            return True
        if full:
            await asyncio.sleep(_PAUSE_SECONDS)
        return True

    async def _publish(
        self, session: AsyncSession, replay_id: UUID, name: str, cursor: str | None
    ) -> None:
        if name not in self._snapshots:
            message = f"this release has no snapshot {name}"
            raise UnknownSnapshot(message)
        after = None if cursor is None else UUID(cursor)
        events = await self._snapshots[name].page(session, self._resources, after, self._page)
        outbox = self._resources.outbox(session)
        for event in events:
            outbox.add(event)
        finished = len(events) < self._page
        await session.execute(
            _MOVE,
            {
                "id": replay_id,
                "cursor": events[-1].subject if events else None,
                "emitted": len(events),
                "finished": finished,
            },
        )
        if finished:
            log.info("replay has ended", snapshot=name, id=str(replay_id))

    async def _fail(self, replay_id: UUID, error: Exception) -> None:
        log.error("replay failed", id=str(replay_id), exc_info=error)
        async with self._resources.database.transaction() as session:
            await session.execute(_FAIL, {"id": replay_id, "error": describe(error)})


def _replays(rows: Any) -> list[Replay]:  # noqa: ANN401 - a result of SQLAlchemy, whatever its row
    return [Replay(**row) for row in rows.mappings()]
