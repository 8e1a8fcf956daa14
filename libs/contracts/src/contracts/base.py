"""The base of every event, and the guarantees of a topic.

An event is published as a CloudEvent: ``type``, ``subject`` and ``sequence`` become its attributes,
the fields its data. Consumers ignore fields that they don't know, so a producer may add fields.
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
    """A Kafka topic, and what its consumers may rely on.

    Attributes:
        name: the name in Kafka, without the prefix of the environment.
        producer: the only service that writes to it.
        key: what the key is; events of one key stay in order.
        partitions: the number of partitions. It is never changed in place, because that would
            break the order within keys.
        retention: the shortest time that an event is kept.
        segment: how long Kafka appends to one file. It deletes whole files, so an event is deleted
            after retention + segment at the latest.
        personal_data: whether events contain personal data. If so, they must be deleted after 30
            days at most.
        timestamp_type: ``CreateTime`` is the producer's clock. ``LogAppendTime`` is the broker's,
            so that a wrong clock of a producer can't keep an event longer.
        compression: the codec in which Kafka stores batches; ``producer`` keeps the producer's.
            Consumers read every codec.
        readers: the services that may read it; None means that it is public.
        compatibility: ``full`` means that the schema of an event's version only gains optional
            fields, so that consumers and producers can be upgraded in any order.
        publish_delay: how long an event may wait for others, with which it is published. It saves
            the relay a page for each transaction. Leave it at 0 if someone waits for the events.
    """

    name: str
    producer: str
    key: str
    partitions: int
    retention: timedelta
    personal_data: bool
    segment: timedelta = timedelta(hours=6)
    timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    compression: Literal["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] = "producer"
    readers: tuple[str, ...] | None = None
    compatibility: Literal["full"] = "full"
    publish_delay: timedelta = timedelta()

    def __post_init__(self) -> None:
        """Reject a topic that would keep personal data too long."""
        longest = self.retention + self.segment
        if self.personal_data and longest > MAX_PERSONAL_DATA_AGE:
            message = (
                f"The topic {self.name} has personal data, and keeps them for {longest} "
                f"(retention + segment). {MAX_PERSONAL_DATA_AGE.days} days are allowed. Shorten "
                "its retention."
            )
            raise ValueError(message)


class UnfitEventError(ValueError):
    """The event's data violate its own contract; it must not be published."""


class Event(BaseModel):
    """The base of every event; a subclass defines its ``type`` and ``topic``.

    ``snapshot`` is true if the event is not a change, but the present state of its subject. A
    replay publishes such events, and a consumer upserts them by version.
    """

    # Errors are written to logs and dead letters, and an event's values may be personal data.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    type: ClassVar[str]
    topic: ClassVar[Topic]
    snapshot: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """The Kafka key; the subject, unless a subclass overrides it."""
        return self.subject

    @property
    @abstractmethod
    def subject(self) -> str:
        """The id of the aggregate that the event is about."""

    @property
    def sequence(self) -> int | None:
        """The CloudEvents extension ``sequence``; None if events of a subject have no order."""
        return None

    def to_json(self) -> bytes:
        """Return the event's data as JSON, after a check that consumers can read them.

        Models are frozen, and validated when they are made, but ``model_construct``, ``model_copy``
        and a change of a list inside bypass both. So the JSON is parsed once, in 3 to 6 µs.

        Raises:
            UnfitEventError: the data violate the contract. The text names the fields, and contains
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
            reason = "a field has another type than declared"
            raise self._unfit(reason) from None  # its text shows values
        return data

    def _unfit(self, reason: str) -> UnfitEventError:
        return UnfitEventError(
            f"The event {self.type} does not fit its contract: {reason}. Make it with its "
            "constructor, with values of the declared types, and do not change it afterwards."
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the event, or raise pydantic.ValidationError if the data violate the contract."""
        return cls.model_validate_json(data)


class VersionedEvent(Event):
    """An event of an aggregate that has a version, which orders its events."""

    version: int = Field(
        ge=1, description="The version of the aggregate after the event; increases by one."
    )

    @property
    def sequence(self) -> int:
        """The version, as the CloudEvents extension ``sequence``."""
        return self.version


class Part(BaseModel):
    """The base of the models that events contain."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Money(Part):
    """An amount in minor units: 1999 EUR are 19.99 €."""

    amount: int
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217.")
