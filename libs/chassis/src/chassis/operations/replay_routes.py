"""HTTP routes of replays."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.auth import Principal, require_scope
from chassis.http import Id, Router, Shape, UnitDep, problems
from chassis.operations.replays import ReplayNotFound, Replays, UnknownSnapshot

SCOPE = "ops:replay"

router = Router(prefix="/replays", tags=["replays"])

Operator = Annotated[Principal, require_scope(SCOPE)]


class ReplayRequest(Shape):
    """What to publish again."""

    snapshot: Annotated[
        str | None,
        Field(max_length=200, description="The event's type; if omitted, all snapshots."),
    ] = None


class ReplayState(Shape):
    """The progress of a replay."""

    id: Id
    snapshot: str
    requested_by: str
    requested_at: datetime
    emitted: int = Field(description="How many snapshots were written to the outbox.")
    finished_at: datetime | None = Field(description="When it finished; null: it is unfinished.")
    error: str | None = Field(description="Why it failed; null: it did not fail.")


class ReplayList(Shape):
    """Some replays."""

    items: list[ReplayState]


async def _replays(connection: HTTPConnection) -> Replays[Any]:
    replays: Replays[Any] = connection.app.state.replays
    return replays


ReplaysDep = Annotated[Replays[Any], Depends(_replays)]


@router.post("", operation_id="startReplay", status_code=202, responses=problems(UnknownSnapshot))
async def start_replay(
    body: ReplayRequest, caller: Operator, replays: ReplaysDep, unit: UnitDep
) -> ReplayList:
    """Publish the present state again, page by page; an unfinished replay is not started again."""
    started = await replays.request(unit, body.snapshot, by=str(caller.user_id))
    return ReplayList(items=[ReplayState.model_validate(one) for one in started])


@router.get("", operation_id="listReplays")
async def list_replays(_: Operator, replays: ReplaysDep, unit: UnitDep) -> ReplayList:
    """List the hundred newest replays."""
    found = await replays.recent(unit)
    return ReplayList(items=[ReplayState.model_validate(one) for one in found])


@router.get("/{replay_id}", operation_id="showReplay", responses=problems(ReplayNotFound))
async def show_replay(
    replay_id: UUID, _: Operator, replays: ReplaysDep, unit: UnitDep
) -> ReplayState:
    """Show the progress of one replay."""
    return ReplayState.model_validate(await replays.get(unit, replay_id))
