"""The base of all request and response shapes: strict, bounded, and no unknown fields.

Bodies are strict JSON: ``"1"`` is no number and ``1.0`` no integer. U+0000, which PostgreSQL can't
store, is refused here for every text of every request; lone surrogates are refused by Pydantic.
"""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

MAX_INTEGER = 2**63 - 1

Id = Annotated[UUID, Field(strict=False)]
"""A UUID as JSON has it: a text."""

BoundedInt = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
"""An integer of 64 bits; the bound for anything without a closer one."""


Name = Annotated[str, Field(min_length=1, max_length=200)]
"""A short line for people: a name, a title."""

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}")


def _written_as_time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC_3339.match(value):
        message = "must be a time of RFC 3339, such as 2026-01-15T10:20:30Z"
        raise ValueError(message)
    return value


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        message = "must lie in the years 1 to 9999 of UTC"
        raise ValueError(message) from error


Moment = Annotated[
    AwareDatetime, Field(strict=False), BeforeValidator(_written_as_time), AfterValidator(_in_utc)
]
"""A time of RFC 3339 in a request, brought to UTC: one that UTC has no year for would break SQL."""


def _without_nul(value: object) -> object:
    left = [value]
    while left:  # a loop and no recursion: a body may be nested deeper than the stack
        part = left.pop()
        if isinstance(part, str) and "\0" in part:
            message = "must not contain the character U+0000"
            raise ValueError(message)
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            left += part.keys()
            left += part.values()
    return value


class Shape(BaseModel):
    """A JSON body, in or out."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        str_strip_whitespace=True,
        from_attributes=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nul(cls, value: object) -> object:
        return _without_nul(value)


class QueryShape(Shape):
    """Query parameters: texts by nature, so they are converted; all else holds as for bodies."""

    model_config = ConfigDict(strict=False)
