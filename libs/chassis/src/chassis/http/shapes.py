"""The base of all request and response shapes: strict, bounded, without unknown fields.

Bodies are strict JSON: ``"1"`` is not a number, and ``1.0`` is not an integer. Numbers in
parameters have JSON's syntax. Every text of every request is rejected here if it contains U+0000,
which PostgreSQL can't store. Pydantic rejects lone surrogates.
"""

import re
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from chassis.integers import MAX_INTEGER

Id = Annotated[UUID, Field(strict=False)]
"""A UUID, which is a text in JSON."""

BoundedInt = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
"""A 64-bit integer; the bound for a field that has no narrower one."""


Name = Annotated[str, Field(min_length=1, max_length=200)]
"""A short line for people: a name, a title."""


def _without_nul(value: object) -> object:
    if type(value) is str:  # most values are texts, and need no list
        _refuse_if_nul(value)
        return value
    left: list[Any] = [value]
    for part in left:  # grows meanwhile; a body may be nested deeper than the stack
        kind = type(part)
        if kind is str:
            _refuse_if_nul(part)
        elif kind is dict:
            left.extend(part)
            left.extend(part.values())
        elif kind is list:
            left.extend(part)
    return value


def _refuse_if_nul(text: str) -> None:
    if "\0" in text:
        message = "must not contain the character U+0000"
        raise ValueError(message)


_WITH_TEXT = frozenset({str, list, dict})  # what a request is made of, beside numbers and nulls
_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(_INTEGER.pattern + r"(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def _written_as_integer(value: object) -> object:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        message = "must be an integer in decimal digits, such as 20"
        raise ValueError(message)
    return value


def _written_as_number(value: object) -> object:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        message = "must be a number in decimal digits, such as 0.5"
        raise ValueError(message)
    return value


WRITTEN_AS_INTEGER = BeforeValidator(_written_as_integer)
"""For an integer in a path or a header: ``Annotated[int, Path(ge=1), WRITTEN_AS_INTEGER]``.

Pydantic parses a text as Python's ``int`` does, so it accepts ``1_0``, ``+1``, ``01``, ``1.0``, and
surrounding spaces. This validator accepts only the integer syntax of RFC 8259 §6. Parameters of a
``QueryShape`` do not need it. Write it last: a constraint after a validator is missing from the
JSON schema.
"""


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
        # Responses pass here as well, field by field, so what holds no text costs a look-up.
        return _without_nul(value) if type(value) in _WITH_TEXT else value


class QueryShape(Shape):
    """Query parameters: texts by nature, so they are converted; all else holds as for bodies.

    Of a parameter that comes more than once, and is no list, the last one counts.
    """

    model_config = ConfigDict(strict=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_other_numbers(cls, value: object, info: ValidationInfo) -> object:
        kinds = _kinds_of(cls.model_fields[info.field_name or ""].annotation)
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if int in kinds:
                _written_as_integer(text)
            elif float in kinds:
                _written_as_number(text)
        return value


def _kinds_of(annotation: Any) -> set[Any]:  # noqa: ANN401 - any annotation
    """Return the types that a field may have: for ``int | None``, ``int`` and ``NoneType``."""
    parts = get_args(annotation)
    return {annotation} if not parts else set().union(*map(_kinds_of, parts))
