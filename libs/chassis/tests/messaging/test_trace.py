"""One trace joins commit, publication and processing."""

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace

from chassis.messaging import FailurePolicy, Subscription, Subscriptions
from chassis.telemetry.tracing import current_trace_headers
from testkit.waiting import until

from .conftest import running
from .counting import CounterAudited, CounterRaised, record
from .messages import message, raised

AT_ONCE = FailurePolicy(attempts=2, first_delay=0)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_commit_publish_and_process_are_spans_of_one_trace(service, spans):
    settle_name = process_name(service).replace("process", "settle")
    async with running(service.relay().run(), service.consumer().run()):
        with trace.get_tracer(__name__).start_as_current_span("use case") as use_case:
            await service.raise_counters("a")
        await until(lambda: any(s.name == settle_name for s in spans.get_finished_spans()))
    expected = use_case.get_span_context()
    ours = {
        span.name: span
        for span in spans.get_finished_spans()
        if span.context.trace_id == expected.trace_id and "db.system.name" not in span.attributes
    }
    names = {
        "use case", "create counters", "commit", "send counters", process_name(service), settle_name
    }  # fmt: skip
    assert ours.keys() == names
    create, publish = ours["create counters"], ours["send counters"]
    process = ours[process_name(service)]
    assert create.parent.span_id == expected.span_id
    assert publish.parent.span_id == create.context.span_id
    assert process.parent.span_id == publish.context.span_id
    assert publish.attributes["messaging.message.id"] == process.attributes["messaging.message.id"]
    settle = ours[settle_name]
    assert settle.parent.span_id == publish.context.span_id
    ends = [span.end_time for span in (ours["commit"], publish, process, settle)]
    assert ends == sorted(ends)


def process_name(service):
    return f"process {service.topics.prefix}counters"


class Broken:
    """A handler that fails until it is mended."""

    def __init__(self):
        self.mended = False

    async def __call__(self, event, delivery):
        await record(event, delivery)
        if not self.mended:
            message = f"{event.number} is refused"
            raise ValueError(message)


def traced(one, *, sampled=True):
    """Return a message that carries a trace."""
    value = f"00-{TRACE}-{PARENT}-0{int(sampled)}"
    return replace(one, headers=[*one.headers, ("traceparent", value.encode())])


def settled(spans):
    """Return the span of each settled message: its parent and the message's offset."""
    return [
        (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}",
         span.attributes["messaging.kafka.offset"])
        for span in spans.get_finished_spans()
        if span.name == "settle counters"
    ]  # fmt: skip


async def test_a_parked_message_is_settled_in_its_trace_once_a_retry_is_committed(offline, spans):
    handler = Broken()
    [one] = raised(1)
    assert await offline.runner(handler, failure=AT_ONCE).run([traced(one)]) == (1, None)
    assert settled(spans) == []
    handler.mended = True
    assert await offline.retries(handler, failure=AT_ONCE).work_one()
    assert settled(spans) == [(TRACE, PARENT, 1)]


async def test_between_a_handler_and_the_commit_a_retry_fails_and_settles_nothing(offline, spans):
    handler = Broken()
    await offline.runner(handler, failure=AT_ONCE).run([traced(one) for one in raised(1)])
    handler.mended = True
    assert await offline.retries(handler, finish=_refuse, failure=AT_ONCE).work_one()
    assert await offline.effects() == []
    assert settled(spans) == []


async def _refuse(_session, _resources):
    message = "what was collected can't be written"
    raise ValueError(message)


async def test_a_parked_message_whose_trace_is_not_recorded_is_settled_without_a_span(
    offline, spans
):
    handler = Broken()
    [one] = raised(1)
    await offline.runner(handler, failure=AT_ONCE).run([traced(one, sampled=False)])
    handler.mended = True
    assert await offline.retries(handler, failure=AT_ONCE).work_one()
    assert await offline.effects() == [("a", 1)]
    assert settled(spans) == []


async def test_a_message_that_overtakes_a_dead_one_is_settled_in_its_trace(offline, spans):
    handled: list[Any] = [
        Subscription(CounterRaised, Broken(), failure=AT_ONCE),
        Subscription(CounterAudited, record, overtakes=True),
    ]
    table: Subscriptions[Any] = Subscriptions(handled=handled)
    audited = message(7, CounterAudited(counter="a", number=7))
    await offline.runner(table=table).run([*raised(1), traced(audited)])
    retries = offline.retries(table=table)
    while not await retries.overtake_one():
        await retries.work_one()
    assert await offline.effects() == [("a", 7)]
    assert settled(spans) == [(TRACE, PARENT, 7)]


async def test_events_of_different_traces_in_one_batch_stay_in_their_own(service, spans):
    tracer = trace.get_tracer(__name__)
    for name in ("one", "other"):
        with tracer.start_as_current_span(name):
            await service.raise_counters("a")
    async with running(service.relay().run(), service.consumer().run()):
        await service.until_effects()
    finished = spans.get_finished_spans()
    roots = [span.context.trace_id for span in finished if span.name in {"one", "other"}]
    processed = [s.context.trace_id for s in finished if s.name == process_name(service)]
    assert processed == roots
    assert len(set(roots)) == 2


async def test_spans_of_sending_say_what_the_conventions_ask_for_and_a_batch_only_links(
    service, spans
):
    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span("use case"):
        await service.raise_counters("a", "a")
    await service.raise_counters("a")  # without a trace, in the same batch
    async with running(service.relay().run()):
        await service.until_published()
    finished = spans.get_finished_spans()
    [batch] = [span for span in finished if span.name == "send batch counters"]
    messages = [span for span in finished if span.name == "send counters"]
    assert batch.parent is None
    assert [link.context for link in batch.links] == [span.context for span in messages]
    partition = batch.attributes["messaging.destination.partition.id"]
    assert dict(batch.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send batch",
        "messaging.destination.name": "counters",
        "messaging.destination.partition.id": partition,
        "messaging.batch.message_count": 3,
    }
    [row, *_] = [dict(span.attributes) for span in messages]
    assert row.pop("messaging.message.id")
    assert row == {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": "counters",
        "messaging.destination.partition.id": partition,
        "messaging.kafka.message.key": "a",
    }


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-02", 0),
        (f"00-{TRACE}-{PARENT}-01", 1),
        (f"00-{'0' * 32}-{PARENT}-00", 1),
        ("no traceparent, 0", 1),
    ],
)
async def test_a_handler_has_a_span_unless_its_trace_is_not_sampled(
    offline, spans, given, recorded
):
    """A traceparent that is not valid is as good as none: a new trace begins."""
    seen = []

    async def handler(event, delivery):
        seen.append(current_trace_headers()["traceparent"])
        await record(event, delivery)

    (message,) = raised(1)
    message = replace(message, headers=[*message.headers, ("traceparent", given.encode())])
    assert await offline.runner(handler).run([message]) == (1, None)
    names = [span.name for span in spans.get_finished_spans()]
    assert names.count("process counters") == recorded
    [inside] = seen
    assert (TRACE in inside) == (TRACE in given)
