"""The worker and the API as they run: Kafka in, rows, the push, Kafka out, in one trace."""

import json

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.database import new_id
from chassis.messaging.events import cloud_event_headers
from contracts import TOPICS
from notifications.worker import create_worker


@pytest.fixture(scope="session")
def exporter():
    """Collects the spans of this process, whose tracer can be set once only."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter, eventually, topics):
    """Finds the one span of that name, once it is over; topics have the test's prefix."""
    exporter.clear()

    def named(name):
        return [
            span
            for span in exporter.get_finished_spans()
            if span.name.replace(topics.prefix, "") == name
        ]

    async def find(name):
        await eventually(lambda: named(name))
        (span,) = named(name)
        return span

    return find


@pytest.fixture
async def worker(settings, topics):
    """The worker on this test's own topics."""
    await topics.create([topic.name for topic in TOPICS])
    settings = settings.model_copy(
        update={
            "kafka_bootstrap_servers": topics.bootstrap_servers,
            "kafka_topic_prefix": topics.prefix,
        }
    )
    worker = create_worker(settings)
    async with worker.router.lifespan_context(worker):
        yield worker


async def send(topics, event, *, event_id, traceparent):
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    headers = cloud_event_headers(
        event, event_id=event_id, source="/slipway/orders", trace={"traceparent": traceparent}
    )
    try:
        for _ in range(2):  # at least once is what a relay promises
            await producer.send_and_wait(
                topics.prefix + event.topic.name,
                key=event.key.encode(),
                value=event.to_json(),
                headers=[(name, value.encode()) for name, value in headers.items()],
            )
    finally:
        await producer.stop()


async def test_an_order_in_kafka_becomes_a_push_a_row_and_an_event_in_its_own_trace(
    worker, topics, feed, placed, db, spans
):
    assert worker.routes
    user, trace_id, parent = new_id(), "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    order = placed(user)
    async with feed(user) as socket:
        await send(topics, order, event_id=new_id(), traceparent=f"00-{trace_id}-{parent}-01")
        item = await socket.next(seconds=20)
        assert item["data"]["data"]["order_id"] == str(order.order_id)
    (record,) = await topics.read("slipway.notifications", 1)
    outgoing = {name: value.decode() for name, value in record.headers}
    assert outgoing["ce_type"] == "notification.created.v1"
    assert json.loads(record.value)["notification_id"] == item["data"]["id"]
    assert await db.fetchval("SELECT count(*) FROM notifications") == 1

    process = await spans("process slipway.orders")
    push = await spans("notifications push")
    assert f"{process.parent.span_id:016x}" == parent
    assert push.parent.span_id == process.context.span_id
    assert push.kind is trace.SpanKind.PRODUCER
    publish = await spans("send slipway.notifications")
    assert publish.parent.span_id == process.context.span_id
    for span in (process, push, publish):
        assert f"{span.context.trace_id:032x}" == trace_id
    assert outgoing["traceparent"].split("-")[1] == trace_id
