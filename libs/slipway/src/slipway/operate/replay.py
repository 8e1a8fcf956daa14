"""`slipway replay`: make a service publish its present state again as snapshot events."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.operate.access import Asker, Gateway, Json, Login, Token, Url, print_json
from slipway.operate.worker_api import WorkerApi

_PATH = "/replays"
_POLL_SECONDS = 0.5

app = typer.Typer(add_completion=False)

_console = Console()


class Replay(BaseModel):
    """A replay and its progress."""

    id: UUID
    snapshot: str
    requested_at: datetime
    emitted: int
    finished_at: datetime | None
    error: str | None

    @property
    def state(self) -> str:
        """Return the state as text for people."""
        if self.error is not None:
            return f"failed: {self.error}"
        return "running" if self.finished_at is None else "published"


@app.command()
def replay(  # noqa: PLR0913 - one for each option
    service: Annotated[str, typer.Argument(help="users or orders.")],
    snapshot: Annotated[
        str | None, typer.Argument(help="user.snapshot.v1, …; default: all of the service.")
    ] = None,
    *,
    status: Annotated[bool, typer.Option("--status", help="Only show the last replays.")] = False,
    wait: Annotated[
        bool, typer.Option(help="Wait for the end. A replay continues without this command too.")
    ] = True,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    login: Login = None,
    gateway: Gateway = None,
) -> None:
    """Publish the present state of a service's aggregates as snapshot events.

    For a new consumer, or one that lost its data: topics keep events only for some days. A consumer
    that has the same or a newer version of an aggregate ignores its snapshot.
    """
    ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)
    found = ask(recent if status else lambda api: start(api, snapshot, wait=wait))
    if as_json:
        print_json(TypeAdapter(list[Replay]).dump_json(found, indent=2))
    elif found:
        _console.print(as_table(found))
    else:
        _console.print(f"{service} has no replay to show")
    if not status and any(one.error is not None for one in found):
        raise typer.Exit(1)


async def start(
    api: WorkerApi, snapshot: str | None, *, wait: bool, poll_seconds: float = _POLL_SECONDS
) -> list[Replay]:
    """Start a replay; return its progress, or with `wait` its end."""
    body = {} if snapshot is None else {"snapshot": snapshot}
    begun = _read(await api.call("POST", _PATH, json=body))
    return [await _end_of(api, one, poll_seconds) for one in begun] if wait else begun


async def _end_of(api: WorkerApi, replay: Replay, poll_seconds: float) -> Replay:
    while replay.finished_at is None:
        await asyncio.sleep(poll_seconds)
        replay = Replay.model_validate(await api.call("GET", f"{_PATH}/{replay.id}"))
    return replay


async def recent(api: WorkerApi) -> list[Replay]:
    """Return the last replays, the newest first."""
    return _read(await api.call("GET", _PATH))


def _read(body: object) -> list[Replay]:
    return _Answer.model_validate(body).items


class _Answer(BaseModel):
    items: list[Replay]


def as_table(replays: Sequence[Replay]) -> Table:
    """Return the replays as a table for people."""
    table = Table("snapshot", "state", "published", "requested")
    for one in replays:
        texts = (one.snapshot, one.state, str(one.emitted), f"{one.requested_at:%Y-%m-%d %H:%M}")
        table.add_row(*(escape(text) for text in texts))
    return table
