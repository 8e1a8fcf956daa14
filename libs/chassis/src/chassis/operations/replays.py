"""Replays: the present state is published again, for consumers that lack older events.

A page of aggregates is one transaction: it locks their rows, writes their snapshots to the outbox,
and moves the cursor. So each snapshot has its place between the events before and after it, and a
replay that was killed continues after its last page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from chassis.database.ids import new_id
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.unit import Unit
from chassis.error_text import describe
from chassis.errors import NotFound
from chassis.loops import for_ever
from chassis.messaging.events import PublicEvent
from chassis.wiring import ServiceResources

log = structlog.get_logger(__name__)

PAGE = 100
_BACKLOG = 1000
_POLL_SECONDS = 1.0
_PAUSE_SECONDS = 0.05  # lets the relay catch up if the outbox is full

_REQUEST = """
    INSERT INTO replays (id, snapshot, requested_by) VALUES ($1, $2, $3)
    ON CONFLICT (snapshot) WHERE finished_at IS NULL DO NOTHING
"""
_UNFINISHED = """
    SELECT * FROM replays WHERE snapshot = ANY ($1::text[]) AND finished_at IS NULL
    ORDER BY snapshot
"""
_RECENT = "SELECT * FROM replays ORDER BY requested_at DESC, id DESC LIMIT $1"
_GET = "SELECT * FROM replays WHERE id = $1"
_TAKE = """
    SELECT id, snapshot, cursor FROM replays WHERE finished_at IS NULL
    ORDER BY requested_at, id LIMIT 1
"""
_IS_FULL = "SELECT count(*) >= $1 FROM (SELECT FROM outbox LIMIT $1) AS backlog"
_MOVE = """
    UPDATE replays SET cursor = coalesce($2, cursor), emitted = emitted + $3,
        finished_at = CASE WHEN $4 THEN clock_timestamp() END
    WHERE id = $1
"""
_FAIL = "UPDATE replays SET finished_at = clock_timestamp(), error = $2 WHERE id = $1"


@dataclass(frozen=True)  # without slots: declarations call `Snapshot[…](…)`, which 3.12.1 can't
class Snapshot[R: ServiceResources]:
    """A kind of snapshot that a service can publish.

    Attributes:
        event: the type of the events.
        page: locks the next aggregates FOR NO KEY UPDATE, in the order of their ids, and returns
            their snapshots; begins after the given id, or at the first if it is None.
    """

    event: type[PublicEvent]
    page: Callable[[Unit, R, UUID | None, int], Awaitable[Sequence[PublicEvent]]]

    @property
    def name(self) -> str:
        """The name of the snapshot: its event's type."""
        return self.event.type


class UnknownSnapshot(NotFound):
    """This service has no such snapshot."""


class ReplayNotFound(NotFound):
    """There is no such replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One replay; ``error`` says why it stopped early, ``cursor`` how far it came."""

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
        resources: the resources of the process.
        snapshots: the snapshots that can be published.
        page: how many aggregates are locked at once.
    """

    def __init__(
        self, *, resources: R, snapshots: Collection[Snapshot[R]], page: int = PAGE
    ) -> None:
        self._resources = resources
        self._snapshots: Mapping[str, Snapshot[R]] = {one.name: one for one in snapshots}
        self._page = page
        self._wake = asyncio.Event()

    async def request(self, unit: Unit, name: str | None, *, by: str) -> list[Replay]:
        """Request one snapshot, or all; return the unfinished replays of these.

        An unfinished replay is not started again.

        Raises:
            UnknownSnapshot: the service has no snapshot of this name.
        """
        if name is not None and name not in self._snapshots:
            known = ", ".join(sorted(self._snapshots)) or "none"
            message = f"This service has no snapshot {name!r}. Use one of: {known}."
            raise UnknownSnapshot(message)
        names = list(self._snapshots) if name is None else [name]
        for one in sorted(names):
            await unit.execute(_REQUEST, new_id(), one, by)
        # Before the commit, the loop would find nothing, and wait for its next poll.
        unit.after_commit(self._wake.set)
        return _replays(await unit.fetch(_UNFINISHED, names))

    async def recent(self, unit: Unit, *, limit: int = 100) -> list[Replay]:
        """Return the newest replays."""
        return _replays(await unit.fetch(_RECENT, limit))

    async def get(self, unit: Unit, replay_id: UUID) -> Replay:
        """Return one replay, or raise ReplayNotFound."""
        found = _replays(await unit.fetch(_GET, replay_id))
        if not found:
            message = f"There is no replay {replay_id}. List the replays."
            raise ReplayNotFound(message)
        return found[0]

    async def run(self) -> None:
        """Publish requested snapshots until cancelled; retry while PostgreSQL is unavailable."""
        await for_ever(
            self.work_page,
            every=_POLL_SECONDS,
            name="replays",
            passes=is_infrastructure_error,
            wake=self._wake,
        )

    async def work_page(self) -> bool:
        """Publish one page of the oldest replay; return whether there was a replay."""
        replay_id: UUID | None = None
        try:
            async with self._resources.database.transaction() as unit:
                found = await unit.fetch_locked(_TAKE)
                if not found:
                    return False
                replay_id, name, cursor = found[0]
                ((full,),) = await unit.fetch(_IS_FULL, _BACKLOG)
                if not full:
                    await self._publish(unit, replay_id, name, cursor)
        except Exception as error:
            if replay_id is None or is_infrastructure_error(error):
                raise
            await self._fail(replay_id, error)
            return True
        if full:
            await asyncio.sleep(_PAUSE_SECONDS)
        return True

    async def _publish(self, unit: Unit, replay_id: UUID, name: str, cursor: str | None) -> None:
        if name not in self._snapshots:
            message = (
                f"This release has no snapshot {name}. Deploy one that has it, then replay again."
            )
            raise UnknownSnapshot(message)
        after = None if cursor is None else UUID(cursor)
        events = await self._snapshots[name].page(unit, self._resources, after, self._page)
        outbox = self._resources.outbox(unit)
        for event in events:
            outbox.add(event)
        finished = len(events) < self._page
        newest = events[-1].subject if events else None
        await unit.execute(_MOVE, replay_id, newest, len(events), finished)
        if finished:
            unit.after_commit(lambda: log.info("replay finished", snapshot=name, id=str(replay_id)))

    async def _fail(self, replay_id: UUID, error: Exception) -> None:
        log.error("replay failed", id=str(replay_id), exc_info=error)
        async with self._resources.database.transaction() as unit:
            await unit.execute(_FAIL, replay_id, describe(error))


def _replays(rows: Iterable[asyncpg.Record]) -> list[Replay]:
    return [Replay(**row) for row in rows]
