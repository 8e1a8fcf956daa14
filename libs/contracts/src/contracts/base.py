"""The base of every event, and what a topic promises.

An event is published as a CloudEvent: ``type``, ``subject`` and ``sequence`` become its attributes,
the fields its data. Consumers ignore fields that they don't know, so a producer may add some.
"""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

MAX_PERSONAL_DATA_AGE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A Kafka topic and what its consumers may rely on.

    Attributes:
        name: in Kafka, before any prefix of the environment.
        producer: the one service that writes to it.
        key: what the key is; events of one key stay in order.
        partitions: never changed in place, or the order of keys would break.
        retention: how long an event is kept at least.
        segment: how long Kafka appends to one file. It deletes whole files, so an event is gone
            after retention + segment at the latest.
        personal_data: whether events tell of persons; then they are gone after 30 days at most.
        timestamp_type: ``CreateTime``: the producer's clock; ``LogAppendTime``: the broker's, so
            that a wrong clock can't keep an event longer.
        readers: the services that may read it; None: it is public.
        compatibility: ``full``: the schemas of an event's version only ever gain optional fields,
            so consumers and producers can be upgraded in any order.
    """

    name: str
    producer: str
    key: str
    partitions: int
    retention: timedelta
    personal_data: bool
    segment: timedelta = timedelta(hours=6)
    timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    readers: tuple[str, ...] | None = None
    compatibility: Literal["full"] = "full"

    def __post_init__(self) -> None:
        """Refuse a topic that would keep personal data too long."""
        longest = self.retention + self.segment
        if self.personal_data and longest > MAX_PERSONAL_DATA_AGE:
            message = (
                f"{self.name} holds personal data and would keep them for {longest} (retention + "
                f"segment); {MAX_PERSONAL_DATA_AGE.days} days are allowed: shorten its retention"
            )
            raise ValueError(message)


class UnfitEventError(ValueError):
    """An event whose data do not fit its own contract; it must not be published."""


class Event(BaseModel):
    """The base of every event; a subclass names its ``type`` and ``topic``.

    ``snapshot`` is true where an event tells no news, but what its subject is at present: those
    that a replay publishes, and that a consumer upserts by version.
    """

    # Errors reach logs and dead letters; what stands in an event may be personal.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    type: ClassVar[str]
    topic: ClassVar[Topic]
    snapshot: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """The Kafka key; the subject, unless the topic says otherwise."""
        return self.subject

    @property
    @abstractmethod
    def subject(self) -> str:
        """The id of what the event is about."""

    @property
    def sequence(self) -> int | None:
        """The CloudEvents extension ``sequence``; None where events of a subject have no order."""
        return None

    def to_json(self) -> bytes:
        """Give the event's data as JSON, read back once to see that consumers can.

        Models are frozen and validated when they are made; ``model_construct``, ``model_copy`` and
        a changed list inside get around both. Reading back takes 3 to 6 µs.

        Raises:
            UnfitEventError: the data do not fit the contract; the text names the places, and shows
                no values.
        """
        try:
            data = self.model_dump_json(warnings="error").encode()
            type(self).from_json(data)
        except ValidationError as error:
            places = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            )
            raise self._unfit(places) from error
        except PydanticSerializationError:
            reason = "a field holds another type than declared"
            raise self._unfit(reason) from None  # its text shows values
        return data

    def _unfit(self, reason: str) -> UnfitEventError:
        return UnfitEventError(
            f"an event {self.type} does not fit its contract ({reason}): make it by its "
            "constructor, with values of the declared types, and don't change them afterwards"
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the event's data; pydantic.ValidationError says what does not fit."""
        return cls.model_validate_json(data)


class VersionedEvent(Event):
    """An event about something that has a version; its events have an order by it."""

    version: int = Field(
        ge=1, description="The version of what the event is about, after it; rises by one."
    )

    @property
    def sequence(self) -> int:
        """The version, as the CloudEvents extension ``sequence``."""
        return self.version


class Part(BaseModel):
    """The base of what events are made of."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Money(Part):
    """An amount in minor units: 1999 EUR are 19.99 €."""

    amount: int
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217.")
