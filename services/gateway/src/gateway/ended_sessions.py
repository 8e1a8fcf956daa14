"""The event of the one topic that the gateway reads: the log-in sessions that have ended.

The class follows the published contract, as a reader outside the project would write it. The
gateway needs no other event, and imports none of `contracts`.
"""

from typing import ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Topic(NamedTuple):
    """A Kafka topic; its name has no prefix."""

    name: str


class SessionsEnded(BaseModel):
    """The fields of ``session.revoked.v1`` that the gateway needs."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    topic: ClassVar[Topic] = Topic("slipway.sessions")

    sids: list[UUID]
    revoked_at: AwareDatetime

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the event's data; raises ValueError if they do not match."""
        return cls.model_validate_json(data)
