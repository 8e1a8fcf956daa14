"""Dead letters, as the operators' API of a worker gives them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field
from rich.markup import escape
from rich.table import Table

from slipway.worker_api import RefusedError, WorkerApi

_PATH = "/dead-letters"
_PAGE = 100


class Letter(BaseModel):
    """What is told of a parked message."""

    number: int
    state: str
    behind: int
    before: int
    topic: str
    partition: int
    offset: int
    key: str | None
    type: str | None
    source: str
    message_id: str
    attempts: int
    error: str | None
    parked_at: datetime


class LetterDetail(Letter):
    """One message with its structure; texts in it are not shown."""

    headers: dict[str, str]
    payload: Any


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which ones are meant; None and nothing: no matter."""

    states: Sequence[str] = ()
    topic: str | None = None
    type: str | None = None
    key: str | None = None
    error: str | None = None
    min_age: int = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """As the API takes it."""
        given = {
            "topic": self.topic,
            "type": self.type,
            "key": self.key,
            "error": self.error,
            "min_age": self.min_age or None,
            "state": list(self.states) or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.parameters)


class Skipped(BaseModel):
    """A message that was left as it is, and why."""

    number: int
    reason: str


class Outcome(BaseModel):
    """What was done."""

    dry_run: bool
    done: list[Letter] = Field(default_factory=list)
    skipped: list[Skipped] = Field(default_factory=list)


async def find(api: WorkerApi, wanted: Filter, *, limit: int | None = None) -> list[Letter]:
    """List the first message of each queue."""
    found = [letter async for letter in _pages(api, wanted, limit)]
    return found[:limit]


async def _pages(api: WorkerApi, wanted: Filter, limit: int | None) -> AsyncIterator[Letter]:
    cursor: str | None = None
    size = _PAGE if limit is None else min(limit, _PAGE)
    while True:
        parameters = {**wanted.parameters, "limit": size}
        page = await api.call(
            "GET", _PATH, params=parameters if cursor is None else {**parameters, "cursor": cursor}
        )
        for item in page["items"]:
            yield Letter.model_validate(item)
        cursor = page["next_cursor"]
        if cursor is None or (limit is not None and size >= limit):
            return


async def show(api: WorkerApi, number: int) -> LetterDetail:
    """Show one message."""
    return LetterDetail.model_validate(await api.call("GET", f"{_PATH}/{number}"))


async def act(
    api: WorkerApi,
    action: str,
    numbers: Iterable[int],
    *,
    reason: str,
    rate: float,
) -> Outcome:
    """Redrive or discard, one after the other; one that is refused does not hold up the next.

    Args:
        api: of the worker.
        action: ``redrive`` or ``discard``.
        numbers: of the messages.
        reason: is recorded with each.
        rate: how many a second, at most.
    """
    outcome = Outcome(dry_run=False)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in numbers:
        await asyncio.sleep(due - loop.time())
        due = max(due, loop.time()) + 1 / rate
        try:
            body = await api.call("POST", f"{_PATH}/{number}/{action}", json={"reason": reason})
        except RefusedError as error:
            outcome.skipped.append(Skipped(number=number, reason=str(error)))
        else:
            outcome.done.append(Letter.model_validate(body))
    return outcome


def as_table(letters: Iterable[Letter], *, now: datetime | None = None) -> Table:
    """For people."""
    table = Table("number", "state", "type", "key", "behind", "tried", "parked", "error")
    now = now or datetime.now(UTC)
    for letter in letters:
        texts = (
            str(letter.number),
            letter.state,
            letter.type or "?",
            letter.key if letter.key is not None else "(none)",
            str(letter.behind),
            str(letter.attempts),
            _age((now - letter.parked_at).total_seconds()),
            letter.error or "",
        )
        table.add_row(*(escape(text) for text in texts))
    return table


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(max(seconds, 0))} s ago"
