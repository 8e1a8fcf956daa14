"""CloudEvents 1.0 in Kafka's binary mode: attributes are headers, the value is the data as JSON.

Source: CloudEvents Kafka protocol binding 1.0.2, §3.2; ``traceparent`` is the distributed tracing
extension, ``sequence`` the sequence extension.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable
from uuid import UUID

SEQUENCE_DIGITS = 20
_REQUIRED = ("ce_id", "ce_source", "ce_type")
MAX_ATTRIBUTE_CHARACTERS = 255  # ce_source and ce_id are part of the inbox's primary key


@runtime_checkable
class PublicEvent(Protocol):
    """What the outbox needs of an event; the models of ``contracts`` satisfy it."""

    type: ClassVar[str]
    # Has a `name` and a `publish_delay`; Any, as a protocol's class variables are invariant.
    topic: ClassVar[Any]

    @property
    def key(self) -> str:
        """The Kafka key; events with the same key stay in order."""

    @property
    def subject(self) -> str:
        """The id of the aggregate that the event is about."""

    @property
    def sequence(self) -> int | None:
        """The version of the aggregate after this event, from 1; None if it has no order."""

    def to_json(self) -> bytes:
        """Return the event's data as JSON."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the event with this data; raise ValueError if it does not fit the contract."""


class MessageFormatError(ValueError):
    """A Kafka message that is not one of our CloudEvents; the text names the header."""


class ReceivedMessage(NamedTuple):
    """One message as received from Kafka, with its CloudEvents attributes parsed.

    A named tuple is made in a third of the time of a frozen dataclass, which counts here.

    ``headers`` holds all headers as text; ``time`` is None if the producer set none.
    """

    topic: str
    partition: int
    offset: int
    key: str | None
    id: str
    source: str
    type: str
    subject: str | None
    time: datetime | None
    sequence: int | None
    headers: Mapping[str, str]
    value: bytes


def cloud_event_headers(
    event: PublicEvent, *, event_id: UUID, source: str, trace: Mapping[str, str]
) -> dict[str, str]:
    """Return the Kafka headers of one event.

    Args:
        event: the event to publish.
        event_id: unique within `source`.
        source: the producing service, as a URI reference: ``/slipway/orders``.
        trace: ``traceparent`` and ``tracestate``, or empty.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(event_id),
        "ce_source": source,
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "content-type": "application/json",
        **trace,
    }
    if event.sequence is not None:
        headers["ce_sequence"] = str(event.sequence).zfill(SEQUENCE_DIGITS)
    return headers


def read_message(
    *,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    value: bytes,
) -> ReceivedMessage:
    """Parse a message; raise MessageFormatError for a missing or invalid attribute."""
    try:
        text = {name: (raw or b"").decode() for name, raw in headers}
        decoded_key = None if key is None else key.decode()
    except UnicodeDecodeError as error:
        message = f"A header or the key of {topic}/{partition}@{offset} is not UTF-8: {error}"
        raise MessageFormatError(message) from error
    for name in _REQUIRED:
        if not _fits(text.get(name)):
            raise _attribute_error(text.get(name), f"message {topic}/{partition}@{offset}", name)
    return ReceivedMessage(
        topic=topic,
        partition=partition,
        offset=offset,
        key=decoded_key,
        id=text["ce_id"],
        source=text["ce_source"],
        type=text["ce_type"],
        subject=text.get("ce_subject"),
        time=_time(text.get("ce_time")),
        sequence=_sequence(text.get("ce_sequence")),
        headers=text,
        value=value,
    )


def _fits(value: str | None) -> bool:
    return value is not None and 0 < len(value) <= MAX_ATTRIBUTE_CHARACTERS and "\0" not in value


def _attribute_error(value: str | None, place: str, name: str) -> MessageFormatError:
    if not value:
        return MessageFormatError(f"{place} lacks the header {name}, which a CloudEvent must have.")
    return MessageFormatError(
        f"{name} of {place} is longer than {MAX_ATTRIBUTE_CHARACTERS} characters, or contains "
        "U+0000."
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        message = f"ce_time {text!r} is not a time of RFC 3339."
        raise MessageFormatError(message) from error


def _sequence(text: str | None) -> int | None:
    if text is None:
        return None
    # Python itself refuses to convert some thousand digits.
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ATTRIBUTE_CHARACTERS):
        message = (
            f"ce_sequence {text[:SEQUENCE_DIGITS]!r} is not a number in decimal digits, of which "
            f"at most {MAX_ATTRIBUTE_CHARACTERS} are allowed."
        )
        raise MessageFormatError(message)
    return int(text)
