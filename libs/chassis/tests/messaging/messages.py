"""Messages of the tests' service, made without Kafka."""

from uuid import NAMESPACE_OID, uuid5

from aiokafka import ConsumerRecord

from chassis.messaging.events import cloud_event_headers

from .counting import SOURCE, CounterRaised

TOPIC = "counters"


def message(offset, event, *, event_id=None, partition=0):
    event_id = event_id or uuid5(NAMESPACE_OID, f"{partition} {offset}")
    headers = cloud_event_headers(event, event_id=event_id, source=SOURCE, trace={})
    return raw(
        offset,
        [(name, value.encode()) for name, value in headers.items()],
        event.to_json(),
        key=event.key.encode(),
        partition=partition,
    )


def raw(offset, headers, value, *, key=b"a", partition=0):
    return ConsumerRecord(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=headers,
    )


def raised(*numbers, counter="a", **options):
    return [message(n, CounterRaised(counter=counter, number=n), **options) for n in numbers]
