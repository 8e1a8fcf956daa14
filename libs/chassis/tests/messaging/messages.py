"""Messages of the tests' service, created without Kafka."""

from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from testkit.messages import raw_record, record_of

from .counting import SOURCE, CounterRaised

TOPIC = "counters"


def message(offset, event, *, event_id=None, partition=0):
    event_id = event_id or uuid5(NAMESPACE_OID, f"{partition} {offset}")
    made = record_of(event, event_id=event_id, source=SOURCE, partition=partition, offset=offset)
    # Events of every type come on this topic here: an order exists in one topic only.
    return replace(made, topic=TOPIC)


def raw(offset, headers, value, *, key=b"a", partition=0):
    return raw_record(
        value, topic=TOPIC, key=key, headers=headers, partition=partition, offset=offset
    )


def raised(*numbers, counter="a", **options):
    return [message(n, CounterRaised(counter=counter, number=n), **options) for n in numbers]
