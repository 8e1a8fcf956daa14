"""The worker and the API as they run: an event arrives, rows, the push, an event out, one trace."""

import json

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.database import new_id
from chassis.messaging.events import cloud_event_headers
from chassis.worker import create_worker
from contracts import TOPICS
from contracts.examples import example
from contracts.users import UserDeleted, UserRegistered
from notifications.declaration import SERVICE

SOURCE = "/slipway/orders"


@pytest.fixture(scope="session")
def exporter():
    """Collect the spans of this process, which can set its tracer provider only once."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter, eventually, topics):
    """Return the one span of that name, once it has ended; topics have the test's prefix."""
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
    worker = create_worker(SERVICE, settings)
    async with worker.router.lifespan_context(worker):
        yield worker


async def send(topics, event, *, event_id, traceparent):
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    headers = cloud_event_headers(
        event, event_id=event_id, source=SOURCE, trace={"traceparent": traceparent}
    )
    try:
        for _ in range(2):  # a relay promises delivery at least once
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


async def test_an_account_that_is_deleted_in_kafka_leaves_no_row_and_gets_no_push(
    worker, topics, placed, db, eventually
):
    assert worker.routes
    user, other = new_id(), new_id()
    trace = {"event_id": new_id(), "traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    await send(topics, example(UserRegistered, user_id=user), **trace)
    await send(topics, placed(user), **trace | {"event_id": new_id()})

    async def count(what, wanted):
        async def counted():
            return await db.fetchval(f"SELECT count(*) FROM {what}") == wanted

        await eventually(counted)

    await count("notifications", 1)
    await count("recipients WHERE email IS NOT NULL", 1)
    deleted = example(UserDeleted, user_id=user, version=2)
    await send(topics, deleted, **trace | {"event_id": new_id()})
    await count("notifications", 0)
    await count("jobs WHERE state = 'done' AND kind = 'notifications.erase-user-data.v1'", 1)
    for one in (user, other):
        await send(topics, placed(one), **trace | {"event_id": new_id()})
    await count(f"notifications WHERE user_id = '{other}'", 1)
    await count(f"inbox WHERE source = '{SOURCE}'", 5)
    for table in ("notifications", "feed_entries"):
        await count(f"{table} WHERE user_id = '{user}'", 0)
    await count("recipients WHERE email IS NOT NULL OR full_name <> ''", 0)
