"""HTTP routes of dead letters."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.auth import Principal, require_scope
from chassis.http import Page, PageQuery, Pages, Router, Shape, UnitDep, problems
from chassis.http.shapes import WRITTEN_AS_INTEGER
from chassis.integers import MAX_INTEGER
from chassis.operations.dead_letters import (
    Action,
    BeingTried,
    DeadLetter,
    DeadLetterNotFound,
    DeadLetters,
    Filter,
    NotHead,
    QueuePosition,
)
from chassis.operations.redaction import redacted_headers, redacted_payload

SCOPE = "ops:dead-letters"

router = Router(prefix="/dead-letters", tags=["dead letters"])

State = Literal["dead", "unknown", "retrying"]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Number = Annotated[
    int,
    Path(ge=1, le=MAX_INTEGER, description="The `number` of a message."),
    WRITTEN_AS_INTEGER,
]
Operator = Annotated[Principal, require_scope(SCOPE)]


class DeadLetterQuery(PageQuery):
    """Which dead letters to list."""

    state: Annotated[
        list[State],
        Field(
            default_factory=lambda: ["dead", "unknown"],
            min_length=1,
            max_length=3,
            description="`dead`: no longer retried; `unknown`: of a type that this consumer does "
            "not know; `retrying`: is retried automatically.",
        ),
    ]
    topic: Annotated[Text | None, Field(description="The topic, with its prefix.")] = None
    type: Annotated[Text | None, Field(description="The event's type.")] = None
    key: Annotated[Text | None, Field(description="The message's key.")] = None
    error: Annotated[Text | None, Field(description="A part of the error; case is ignored.")] = None
    min_age: Annotated[
        int, Field(ge=0, le=10**9, description="The minimum seconds since it was parked.")
    ] = 0


class Letter(Shape):
    """A parked message: the head of a queue in a list, any message if shown by number."""

    number: int = Field(description="Identifies the message in this service.")
    state: State
    blocking: bool = Field(description="Whether later messages of its key wait behind it.")
    behind: int = Field(description="How many messages wait behind it.")
    before: int = Field(description="How many messages it waits for; 0: it is the head.")
    topic: str
    partition: int
    offset: int
    key: str | None
    type: str | None
    source: str
    message_id: str
    attempts: int
    error: str | None = Field(description="The error of the last attempt; null: none was made.")
    sent_at: datetime | None
    parked_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None


class LetterDetail(Letter):
    """One message with its content; texts that may be personal or secret are shown by length."""

    headers: dict[str, str]
    payload: Any


class Reason(Shape):
    """Why; it is recorded with who and when."""

    reason: Annotated[str, Field(min_length=3, max_length=500)]

    def given_by(self, caller: Principal) -> Action:
        """Return the record of who acts, and why."""
        return Action(actor=str(caller.user_id), reason=self.reason)


async def _dead_letters(connection: HTTPConnection) -> DeadLetters:
    letters: DeadLetters = connection.app.state.dead_letters
    return letters


LettersDep = Annotated[DeadLetters, Depends(_dead_letters)]


@router.get("", operation_id="listDeadLetters")
async def list_dead_letters(
    query: Annotated[DeadLetterQuery, Query()],
    _: Operator,
    letters: LettersDep,
    unit: UnitDep,
    pages: Pages,
) -> Page[Letter]:
    """List the first message of each queue, the queue that was opened first at the top."""
    only = Filter(
        states=query.state,
        topic=query.topic,
        type=query.type,
        key=query.key,
        error=query.error,
        min_age=timedelta(seconds=query.min_age),
    )
    found = await letters.page(unit, query.page(QueuePosition), only=only)
    return pages.write(found, _shown, query=query)


@router.get("/{number}", operation_id="showDeadLetter", responses=problems(DeadLetterNotFound))
async def show_dead_letter(
    number: Number, _: Operator, letters: LettersDep, unit: UnitDep
) -> LetterDetail:
    """Show one parked message."""
    return _detail(await letters.get(unit, number))


@router.post(
    "/{number}/redrive",
    operation_id="redriveDeadLetter",
    status_code=202,
    responses=problems(DeadLetterNotFound, NotHead, BeingTried),
)
async def redrive_dead_letter(
    number: Number, body: Reason, caller: Operator, letters: LettersDep, unit: UnitDep
) -> Letter:
    """Retry a message at once, with all its attempts again; returns its old state."""
    return _shown(await letters.redrive(unit, number, body.given_by(caller)))


@router.post(
    "/{number}/discard",
    operation_id="discardDeadLetter",
    responses=problems(DeadLetterNotFound, BeingTried),
)
async def discard_dead_letter(
    number: Number, body: Reason, caller: Operator, letters: LettersDep, unit: UnitDep
) -> Letter:
    """Give a message up for good, so that its key goes on; returns its old state."""
    return _shown(await letters.discard(unit, number, body.given_by(caller)))


def _shown(letter: DeadLetter) -> Letter:
    return Letter(**_fields(letter))


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.seq,
        "offset": letter.log_offset,
        **{
            name: getattr(letter, name)
            for name in Letter.model_fields
            if name not in {"number", "offset"}
        },
    }


def _detail(letter: DeadLetter) -> LetterDetail:
    return LetterDetail(
        **_fields(letter),
        headers=dict(redacted_headers(letter.headers)),
        payload=redacted_payload(letter.payload),
    )
