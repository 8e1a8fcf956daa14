"""HTTP on replays."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.auth import Principal, require_scope
from chassis.http import Id, Router, SessionDep, Shape, problems
from chassis.operations.replays import ReplayNotFound, Replays, UnknownSnapshot

SCOPE = "ops:replay"

router = Router(prefix="/replays", tags=["replays"])

Operator = Annotated[Principal, require_scope(SCOPE)]


class ReplayRequest(Shape):
    """What to publish anew."""

    snapshot: Annotated[
        str | None,
        Field(max_length=200, description="The event's type; left out: all that there are."),
    ] = None


class ReplayState(Shape):
    """How far a replay is."""

    id: Id
    snapshot: str
    requested_by: str
    requested_at: datetime
    emitted: int = Field(description="How many snapshots were written to the outbox.")
    finished_at: datetime | None = Field(description="null: it is under way.")
    error: str | None = Field(description="Why it ended before its end; null: it did not.")


class ReplayList(Shape):
    """Some replays."""

    items: list[ReplayState]


def _replays(connection: HTTPConnection) -> Replays[Any]:
    replays: Replays[Any] = connection.app.state.replays
    return replays


ReplaysDep = Annotated[Replays[Any], Depends(_replays)]


@router.post("", operation_id="startReplay", status_code=202, responses=problems(UnknownSnapshot))
async def start_replay(
    body: ReplayRequest, caller: Operator, replays: ReplaysDep, session: SessionDep
) -> ReplayList:
    """Publish the present state anew, page by page; what is under way is answered as it is."""
    started = await replays.request(session, body.snapshot, by=str(caller.user_id))
    return ReplayList(items=[ReplayState.model_validate(one) for one in started])


@router.get("", operation_id="listReplays")
async def list_replays(_: Operator, replays: ReplaysDep, session: SessionDep) -> ReplayList:
    """List the hundred newest."""
    found = await replays.recent(session)
    return ReplayList(items=[ReplayState.model_validate(one) for one in found])


@router.get("/{replay_id}", operation_id="showReplay", responses=problems(ReplayNotFound))
async def show_replay(
    replay_id: UUID, _: Operator, replays: ReplaysDep, session: SessionDep
) -> ReplayState:
    """Show how far one is."""
    return ReplayState.model_validate(await replays.get(session, replay_id))
