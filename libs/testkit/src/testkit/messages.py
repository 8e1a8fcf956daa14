"""Messages as a consumer receives them, made without Kafka."""

from collections.abc import Sequence
from uuid import UUID

from aiokafka import ConsumerRecord

from chassis.database.ids import new_id
from chassis.messaging.events import PublicEvent, cloud_event_headers


def record_of(
    event: PublicEvent,
    *,
    event_id: UUID | None = None,
    source: str = "/slipway/test",
    value: bytes | None = None,
    partition: int = 0,
    offset: int = 0,
) -> ConsumerRecord:
    """Return the message of an event.

    Args:
        event: the event that the message carries.
        event_id: the event's id; a new one by default.
        source: the CloudEvents source, which names the producer.
        value: replaces the event's data.
        partition: the partition of the topic.
        offset: the offset in the partition.
    """
    headers = cloud_event_headers(event, event_id=event_id or new_id(), source=source, trace={})
    return raw_record(
        event.to_json() if value is None else value,
        topic=event.topic.name,
        key=event.key.encode(),
        headers=[(name, text.encode()) for name, text in headers.items()],
        partition=partition,
        offset=offset,
    )


def raw_record(
    value: bytes | None,
    *,
    topic: str,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    partition: int = 0,
    offset: int = 0,
) -> ConsumerRecord:
    """Return a message with any bytes as its value."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=-1 if key is None else len(key),
        serialized_value_size=-1 if value is None else len(value),
        headers=headers,
    )
