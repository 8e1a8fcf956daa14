"""HTTP on dead letters."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response
from fastapi.requests import HTTPConnection
from pydantic import Field

from chassis.auth import Principal, require_scope
from chassis.http import KeysetCursor, Page, PageQuery, Router, SessionDep, Shape, page_of, problems
from chassis.http.shapes import MAX_INTEGER
from chassis.operations.dead_letters import (
    Action,
    BeingTried,
    DeadLetter,
    DeadLetterNotFound,
    DeadLetters,
    Filter,
    NotHead,
)
from chassis.operations.redaction import redacted_headers, redacted_payload

SCOPE = "ops:dead-letters"

router = Router(prefix="/dead-letters", tags=["dead letters"])

State = Literal["dead", "unknown", "retrying"]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Number = Annotated[int, Path(ge=1, le=MAX_INTEGER, description="The `number` of a message.")]
Operator = Annotated[Principal, require_scope(SCOPE)]


class LetterQuery(PageQuery):
    """Which ones to list."""

    state: Annotated[
        list[State],
        Field(
            default_factory=lambda: ["dead", "unknown"],
            min_length=1,
            max_length=3,
            description="`dead`: all attempts failed; `unknown`: of a type that this consumer does "
            "not know; `retrying`: will be tried again by itself.",
        ),
    ]
    topic: Annotated[Text | None, Field(description="The topic, with its prefix.")] = None
    type: Annotated[Text | None, Field(description="The event's type.")] = None
    key: Annotated[Text | None, Field(description="The message's key.")] = None
    error: Annotated[Text | None, Field(description="A part of the error, in any case.")] = None
    min_age: Annotated[
        int, Field(ge=0, le=10**9, description="Seconds that it has been parked, at least.")
    ] = 0


class Place(KeysetCursor):
    """The queue of the last item of a page."""

    queue: Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Letter(Shape):
    """The first message of a queue: what a key, or this one message, waits for."""

    number: int = Field(description="Names it in this service.")
    state: State
    blocking: bool = Field(description="Whether later messages of its key wait behind it.")
    behind: int = Field(description="How many wait behind it.")
    before: int = Field(description="How many it waits for itself; 0: it is the first.")
    topic: str
    partition: int
    offset: int
    key: str | None
    type: str | None
    source: str
    message_id: str
    attempts: int
    error: str | None = Field(description="Of the last attempt; null: none was made.")
    sent_at: datetime | None
    parked_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None


class LetterDetail(Letter):
    """One message, with what it is made of: personal data and secrets are not shown."""

    headers: dict[str, str]
    payload: Any


class Reason(Shape):
    """Why; it is recorded with who and when."""

    reason: Annotated[str, Field(min_length=3, max_length=500)]


def _dead_letters(connection: HTTPConnection) -> DeadLetters:
    letters: DeadLetters = connection.app.state.dead_letters
    return letters


LettersDep = Annotated[DeadLetters, Depends(_dead_letters)]


@router.get("", operation_id="listDeadLetters")
async def list_dead_letters(
    query: Annotated[LetterQuery, Query()],
    _: Operator,
    letters: LettersDep,
    session: SessionDep,
    request: Request,
    response: Response,
) -> Page[Letter]:
    """List what is parked: of each queue the first message, the longest-parked queue first."""
    wanted = Filter(
        states=query.state,
        topic=query.topic,
        type=query.type,
        key=query.key,
        error=query.error,
        min_age=timedelta(seconds=query.min_age),
    )
    after = 0 if query.cursor is None else Place.decode(query.cursor).queue
    found = await letters.page(session, wanted, limit=query.limit + 1, after=after)
    shown = found[: query.limit]
    place = Place(queue=shown[-1].queue) if len(found) > query.limit else None
    items = [Letter(**_fields(letter)) for letter in shown]
    return page_of(items, next_cursor=place, request=request, response=response)


@router.get("/{number}", operation_id="showDeadLetter", responses=problems(DeadLetterNotFound))
async def show_dead_letter(
    number: Number, _: Operator, letters: LettersDep, session: SessionDep
) -> LetterDetail:
    """Show one parked message."""
    return _detail(await letters.get(session, number))


@router.post(
    "/{number}/redrive",
    operation_id="redriveDeadLetter",
    status_code=202,
    responses=problems(DeadLetterNotFound, NotHead, BeingTried),
)
async def redrive_dead_letter(
    number: Number, body: Reason, caller: Operator, letters: LettersDep, session: SessionDep
) -> Letter:
    """Have a message tried again at once, with all its attempts; answers what it was before."""
    letter = await letters.redrive(session, number, _action(caller, body))
    return Letter(**_fields(letter))


@router.post(
    "/{number}/discard",
    operation_id="discardDeadLetter",
    responses=problems(DeadLetterNotFound, BeingTried),
)
async def discard_dead_letter(
    number: Number, body: Reason, caller: Operator, letters: LettersDep, session: SessionDep
) -> Letter:
    """Give a message up for good, so that its key goes on; answers what it was."""
    letter = await letters.discard(session, number, _action(caller, body))
    return Letter(**_fields(letter))


def _action(caller: Principal, body: Reason) -> Action:
    return Action(actor=str(caller.user_id), reason=body.reason)


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
