"""What the models of all nouns share.

Response models ignore unknown fields, so that a newer server doesn't break an older client.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The base of all responses."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Body(BaseModel):
    """The base of all request bodies. Fields that are not set are not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")


type Known[Values: StrEnum] = Annotated[Values | str, Field(union_mode="left_to_right")]
"""One of some values, or a text that a newer server has added to them."""


class Money(Answer):
    """An amount in the minor unit of its currency (1999 EUR is 19.99 €)."""

    amount: int
    currency: str


class Page[Item](Answer):
    """One page of a list; `next_cursor` is None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None


class CountedPage[Item](Page[Item]):
    """One page of a list; `total` counts the items of all pages, if the caller asked for it."""

    total: int | None


class ActorKind(StrEnum):
    """Who acted: a user, a program with a user's API key, or the system itself."""

    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"


class FieldError(Answer):
    """One invalid part of a request.

    `pointer` is a JSON pointer into the body, as a URI fragment (RFC 6901 §6): `#/items/0`. Outside
    the body, `parameter` or `header` names the part.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None

    @property
    def place(self) -> str:
        """The invalid part, as a name for people."""
        return self.pointer or self.parameter or self.header or "request"
