"""A message as the consumer meets it: read, decoded, and matched with what handles it.

Nothing here raises for what a message holds: what can't be read has an identity all the same, or
it could neither be kept nor told from another.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from chassis.messaging.consuming.subscriptions import (
    Subscription,
    Subscriptions,
    UnknownEventTypeError,
)
from chassis.messaging.events import (
    MessageFormatError,
    PublicEvent,
    ReceivedMessage,
    read_message,
)

_KEY_CHARACTERS = 255  # an index of PostgreSQL takes no more than some 2,700 bytes


class UndecodableError(ValueError):
    """The data of a message does not fit the contract of its type."""


class Record(Protocol):
    """A message as Kafka gave it: aiokafka's ConsumerRecord, or one that was parked."""

    @property
    def topic(self) -> str:
        """With its prefix."""

    @property
    def partition(self) -> int:
        """From 0."""

    @property
    def offset(self) -> int:
        """From 0."""

    @property
    def key(self) -> bytes | None:
        """Events of one key are in one partition."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """In the order of the message; a name may come twice."""

    @property
    def value(self) -> bytes | None:
        """The data; None is a tombstone."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming[R]:
    """What the consumer knows of a message before it runs.

    Attributes:
        record: as Kafka gave it.
        key: the queue it would park in; as the record's, but always storable.
        source: with `id`, what makes it the same message when it comes again.
        id: see `source`; of a message that is no CloudEvent, where it stands in Kafka.
        type: None where it can't be read.
        message: None where it is no CloudEvent.
        subscription: None where it is ignored, or nothing handles it.
        event: the data; None where there is nothing to handle, or it can't be read.
        error: why it can never be handled as it is.
    """

    record: Record
    key: str | None
    source: str
    id: str
    type: str | None = None
    message: ReceivedMessage | None = None
    subscription: Subscription[Any, R] | None = None
    event: PublicEvent | None = None
    error: Exception | None = None

    @property
    def unknown(self) -> bool:
        """Whether the subscriptions table does not name its type."""
        return isinstance(self.error, UnknownEventTypeError)

    @property
    def ignored(self) -> bool:
        """Whether the subscriptions table says that this type is not needed."""
        return self.subscription is None and self.error is None


def read_incoming[R](record: Record, subscriptions: Subscriptions[R]) -> Incoming[R]:
    """Read a message that is no tombstone."""
    key = parking_key(record.key)
    value = record.value or b""
    try:
        message = read_message(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            headers=record.headers,
            value=value,
        )
    except MessageFormatError as unreadable:
        place = f"{record.partition}:{record.offset}"
        return Incoming(
            record=record, key=key, source=f"kafka:{record.topic}", id=place, error=unreadable
        )
    subscription, event, error = _match(message, subscriptions)
    return Incoming(
        record=record,
        key=key,
        source=message.source,
        id=message.id,
        type=message.type,
        message=message,
        subscription=subscription,
        event=event,
        error=error,
    )


def _match[R](
    message: ReceivedMessage, subscriptions: Subscriptions[R]
) -> tuple[Subscription[Any, R] | None, PublicEvent | None, Exception | None]:
    try:
        subscription = subscriptions.find(message.type)
    except UnknownEventTypeError as unknown:
        return None, None, unknown
    if subscription is None:
        return None, None, None
    try:
        return subscription, subscription.event.from_json(message.value), None
    except Exception as cause:  # noqa: BLE001 - whatever a contract raises for data that don't fit
        text = f"the data of {message.type} {message.id} don't fit the contract: {_reason(cause)}"
        error = UndecodableError(text)
        error.__cause__ = cause
        return subscription, None, error


def _reason(cause: Exception) -> str:
    """Say what is wrong without the values: they may be somebody's data, and errors are logged."""
    if isinstance(cause, ValidationError):
        problems = cause.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'data'}: {p['msg']}" for p in problems)
    return f"{type(cause).__name__}: {cause}"


def parking_key(raw: bytes | None) -> str | None:
    """Turn a Kafka key into one that PostgreSQL can store and index; different keys stay so."""
    if raw is None:
        return None
    text = raw.decode(errors="backslashreplace").replace("\0", "\\x00")
    if len(text) <= _KEY_CHARACTERS:
        return text
    digest = hashlib.sha256(raw).hexdigest()
    return f"{text[: _KEY_CHARACTERS - len(digest) - 1]}…{digest}"
