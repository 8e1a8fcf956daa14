"""The CloudEvents package reads our messages as CloudEvents in Kafka's binary mode."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent

import contracts
from chassis.database import new_id
from chassis.messaging.events import cloud_event_headers, read_message
from contracts.examples import example, example_json
from contracts.orders import OrderPlaced

EACH = pytest.mark.parametrize("event", contracts.EVENTS, ids=lambda event: event.type)
SOURCE = "/slipway/orders"
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


def message_of(event, event_id):
    """Return the message that the outbox and the relay build from an event."""
    headers = cloud_event_headers(event, event_id=event_id, source=SOURCE, trace=TRACE)
    encoded = {name: value.encode() for name, value in headers.items()}
    return KafkaMessage(headers=encoded, key=event.key.encode(), value=event.to_json())


def read(message, *, key=None):
    return read_message(
        topic="slipway.orders",
        partition=0,
        offset=7,
        key=key,
        headers=list(message.headers.items()),
        value=message.value,
    )


def check_ours(found, event, event_id):
    assert isinstance(found, CloudEvent)
    assert found.get_specversion() == "1.0"
    assert found.get_id() == str(event_id)
    assert found.get_type() == event.type
    assert found.get_source() == SOURCE
    assert found.get_subject() == event.subject
    assert found.get_datacontenttype() == "application/json"
    time = found.get_time()
    assert time is not None
    assert timedelta() <= datetime.now(UTC) - time < timedelta(minutes=1)
    assert found.get_data() == json.loads(example_json(type(event)))
    assert found.get_extension("partitionkey") == event.key
    if event.sequence is None:
        assert found.get_extension("sequence") is None
    else:
        assert found.get_extension("sequence") == f"{event.sequence:020}"


@EACH
def test_their_package_reads_our_messages(event):
    event_id, ours = new_id(), example(event)
    check_ours(from_binary_event(message_of(ours, event_id)), ours, event_id)


async def test_their_package_reads_our_messages_from_kafka(topics):
    await topics.create([OrderPlaced.topic.name], partitions=1)
    event_id, ours = new_id(), example(OrderPlaced)
    await send(topics, message_of(ours, event_id))
    (record,) = await topics.read(OrderPlaced.topic.name, 1)
    theirs = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    check_ours(from_binary_event(theirs), ours, event_id)


async def send(topics, message):
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(
            topics.prefix + OrderPlaced.topic.name,
            message.value,
            key=message.key,
            headers=list(message.headers.items()),
        )
    finally:
        await producer.stop()


@EACH
def test_we_read_the_messages_of_their_package(event):
    time = datetime(2026, 1, 15, 10, 20, 30, 123456, tzinfo=UTC)
    theirs = CloudEvent(
        attributes={
            "id": "a-1",
            "source": "https://example.com/shop",
            "type": event.type,
            "subject": "s-1",
            "time": time,
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "sequence": f"{12:020}",
            "partitionkey": "s-1",
        },
        data=json.loads(example_json(event)),
    )
    message = to_binary_event(theirs)
    found = read(message, key=b"s-1")
    assert (found.id, found.source, found.type) == ("a-1", "https://example.com/shop", event.type)
    assert (found.subject, found.key) == ("s-1", "s-1")
    assert found.time == time
    assert found.sequence == 12
    assert event.from_json(found.value) == example(event)


def test_we_read_the_least_that_is_a_cloud_event():
    theirs = CloudEvent(
        attributes={"id": "1", "source": "/x", "type": "x.v1", "specversion": "1.0"}, data=None
    )
    found = read(to_binary_event(theirs))
    assert (found.id, found.source, found.type) == ("1", "/x", "x.v1")
    assert (found.key, found.subject, found.sequence) == (None, None, None)
