"""A message as the consumer receives it: parsed, decoded, and matched with its subscription.

Nothing here raises because of a message's content. A message that can't be parsed gets an identity
as well, or it could not be stored, or told from others.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

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

_KEY_CHARACTERS = 255  # PostgreSQL indexes values of up to some 2,700 bytes


class UndecodableError(ValueError):
    """The data of a message does not fit the contract of its type."""


class Record(Protocol):
    """A message from Kafka: aiokafka's ConsumerRecord, or a parked one."""

    @property
    def topic(self) -> str:
        """The topic, with its prefix."""

    @property
    def partition(self) -> int:
        """The partition, from 0."""

    @property
    def offset(self) -> int:
        """The offset, from 0."""

    @property
    def key(self) -> bytes | None:
        """The key; all events of one key are in one partition."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """The headers in the message's order; a name may occur twice."""

    @property
    def value(self) -> bytes | None:
        """The data; None is a tombstone."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""


class Incoming[R](NamedTuple):
    """What is known of a message before its handler runs.

    Attributes:
        record: the message as it came from Kafka.
        key: the key of its queue if it is parked; the record's key, made storable.
        source: together with `id` identifies the message when it is delivered again.
        id: see `source`; for a message that is no CloudEvent, its partition, offset and time.
        type: the event type; None if it can't be parsed.
        message: the parsed attributes; None if the message is no CloudEvent.
        subscription: None if the type is ignored or unknown.
        event: the data; None if no handler needs it, or it can't be decoded.
        error: why the message can't be handled as it is.
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
        """Whether the subscriptions table does not contain its type."""
        return isinstance(self.error, UnknownEventTypeError)

    @property
    def ignored(self) -> bool:
        """Whether the subscriptions table ignores its type."""
        return self.subscription is None and self.error is None


def read_incoming[R](record: Record, subscriptions: Subscriptions[R]) -> Incoming[R]:
    """Parse a message that is no tombstone."""
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
        # With its time: a topic that was deleted and created again uses its offsets again, and the
        # message would be dropped as a duplicate of one that the former topic had there.
        place = f"{record.partition}:{record.offset}:{record.timestamp}"
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
    except Exception as cause:  # noqa: BLE001 - a contract may raise anything for bad data
        text = f"The data of {message.type} {message.id} do not fit the contract: {_reason(cause)}"
        error = UndecodableError(text)
        error.__cause__ = cause
        return subscription, None, error


def _reason(cause: Exception) -> str:
    """Return what is wrong without the values: they may be personal data, and errors are logged."""
    if isinstance(cause, ValidationError):
        problems = cause.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'data'}: {p['msg']}" for p in problems)
    return f"{type(cause).__name__}: {cause}"


def parking_key(raw: bytes | None) -> str | None:
    """Return a key that PostgreSQL can store and index; different keys stay different."""
    if raw is None:
        return None
    text = raw.decode(errors="backslashreplace").replace("\0", "\\x00")
    if len(text) <= _KEY_CHARACTERS:
        return text
    digest = hashlib.sha256(raw).hexdigest()
    return f"{text[: _KEY_CHARACTERS - len(digest) - 1]}…{digest}"
