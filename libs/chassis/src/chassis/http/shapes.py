"""The base of all request and response shapes: strict, bounded, and no unknown fields.

Bodies are strict JSON: ``"1"`` is no number and ``1.0`` no integer. U+0000, which PostgreSQL can't
store, is refused here for every text of every request; lone surrogates are refused by Pydantic.
"""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_INTEGER = 2**63 - 1

Id = Annotated[UUID, Field(strict=False)]
"""A UUID as JSON has it: a text."""

BoundedInt = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
"""An integer of 64 bits; the bound for anything without a closer one."""


Name = Annotated[str, Field(min_length=1, max_length=200)]
"""A short line for people: a name, a title."""


def _without_nul(value: object) -> object:
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(text, str) and "\0" in text for text in texts):
        message = "must not contain the character U+0000"
        raise ValueError(message)
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
