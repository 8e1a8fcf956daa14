"""Calls of the operators' API of a worker about dead letters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from slipway.operate.worker_api import Outcome, WorkerApi

_PATH = "/dead-letters"


class DeadLetter(BaseModel):
    """A parked message, as the API returns it."""

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


class DeadLetterDetail(DeadLetter):
    """One message with its structure; texts in it are not shown."""

    headers: dict[str, str]
    payload: Any


@dataclass(frozen=True, kw_only=True)
class DeadLetterFilter:
    """Filter for dead letters; None and empty values match any."""

    states: Sequence[str] = ()
    topic: str | None = None
    type: str | None = None
    key: str | None = None
    error: str | None = None
    min_age: int = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the filter as the API's query parameters."""
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
        """Return whether the filter restricts anything."""
        return bool(self.parameters)


async def find_dead_letters(
    api: WorkerApi, wanted: DeadLetterFilter, *, limit: int | None = None
) -> list[DeadLetter]:
    """Return the first message of each queue."""
    found = await api.items(_PATH, filters=wanted.parameters, limit=limit)
    return [DeadLetter.model_validate(item) for item in found]


async def show_dead_letter(api: WorkerApi, number: int) -> DeadLetterDetail:
    """Return one message."""
    return DeadLetterDetail.model_validate(await api.call("GET", f"{_PATH}/{number}"))


async def act_on_dead_letters(
    api: WorkerApi,
    action: str,
    numbers: Iterable[int],
    *,
    reason: str,
    rate: float,
) -> Outcome[DeadLetter]:
    """Redrive or discard messages one after the other; a rejected one does not stop the next.

    Args:
        api: of the worker.
        action: ``redrive`` or ``discard``.
        numbers: of the messages.
        reason: is recorded with each.
        rate: the maximum number per second.
    """
    return await api.act(_PATH, action, numbers, shape=DeadLetter, reason=reason, rate=rate)


def dead_letters_table(letters: Iterable[DeadLetter], *, now: datetime | None = None) -> Table:
    """Return the messages as a table."""
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
