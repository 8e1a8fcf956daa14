"""The base of every event, and what a topic promises.

An event is published as a CloudEvent: ``type``, ``subject`` and ``sequence`` become its attributes,
the fields its data. Consumers ignore fields that they don't know, so a producer may add some.
"""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A Kafka topic and what its consumers may rely on.

    Attributes:
        name: in Kafka, before any prefix of the environment.
        producer: the one service that writes to it.
        key: what the key is; events of one key stay in order.
        partitions: never changed in place, or the order of keys would break.
        retention: how long an event is kept; 30 days at most where there are personal data.
        compatibility: ``backward``: a version of an event only ever gains optional fields.
    """

    name: str
    producer: str
    key: str
    partitions: int
    retention: timedelta
    compatibility: Literal["backward"] = "backward"


class Event(BaseModel):
    """The base of every event; a subclass names its ``type`` and ``topic``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: ClassVar[str]
    topic: ClassVar[Topic]

    version: int = Field(
        ge=1, description="The version of what the event is about, after it; rises by one."
    )

    @property
    def key(self) -> str:
        """The Kafka key; the subject, unless the topic says otherwise."""
        return self.subject

    @property
    @abstractmethod
    def subject(self) -> str:
        """The id of what the event is about."""

    @property
    def sequence(self) -> int:
        """The version, as the CloudEvents extension ``sequence``."""
        return self.version

    def to_json(self) -> bytes:
        """Give the event's data as JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the event's data; pydantic.ValidationError says what does not fit."""
        return cls.model_validate_json(data)


class Money(BaseModel):
    """An amount in minor units: 1999 EUR are 19.99 €."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    amount: int
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217.")
