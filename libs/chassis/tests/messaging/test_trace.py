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
    assert ours.keys() == {"use case", "commit", "send counters", process_name(service)}
    publish, process = ours["send counters"], ours[process_name(service)]
    assert publish.parent.span_id == expected.span_id
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
