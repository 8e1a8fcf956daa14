"""What the gateway reads of the one topic that it follows: which sessions have ended.

It is written after the published contract, like any outsider's reader: the gateway knows no other
event, and imports none.
"""

from typing import ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Topic(NamedTuple):
    """A topic of Kafka, without a prefix."""

    name: str


class SessionsEnded(BaseModel):
    """The data of ``session.revoked.v1``, as far as it matters here."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    topic: ClassVar[Topic] = Topic("slipway.sessions")

    sids: list[UUID]
    revoked_at: AwareDatetime

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the event's data; ValueError says what does not fit."""
        return cls.model_validate_json(data)
