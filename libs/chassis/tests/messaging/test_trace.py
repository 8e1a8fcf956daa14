"""One trace joins commit, publication and processing."""

from opentelemetry import trace

from .conftest import running


async def test_commit_publish_and_process_are_spans_of_one_trace(service, spans):
    async with running(service.relay().run(), service.consumer().run()):
        with trace.get_tracer(__name__).start_as_current_span("use case") as use_case:
            await service.raise_counters("a")
        await service.until_effects()
    expected = use_case.get_span_context()
    ours = {
        span.name: span
        for span in spans.get_finished_spans()
        if span.context.trace_id == expected.trace_id
    }
    names = {"use case", "create counters", "commit", "send counters", process_name(service)}
    assert ours.keys() == names
    create, publish = ours["create counters"], ours["send counters"]
    process = ours[process_name(service)]
    assert create.parent.span_id == expected.span_id
    assert publish.parent.span_id == create.context.span_id
    assert process.parent.span_id == publish.context.span_id
    assert publish.attributes["messaging.message.id"] == process.attributes["messaging.message.id"]
    assert ours["commit"].end_time <= publish.end_time <= process.end_time


def process_name(service):
    return f"process {service.topics.prefix}counters"


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
    await service.raise_counters("a")  # of no trace, in the same batch
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
