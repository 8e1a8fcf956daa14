"""What operators see of jobs: gauges, counters, traces."""

from opentelemetry import trace

from chassis.jobs.metrics import UNDECLARED

from .working import Batched, Inside, Outside


def spans_named(spans, name):
    return [span for span in spans.get_finished_spans() if span.name == name]


async def test_gauges_show_what_is_in_each_queue(service):
    await service.enqueue(*(Batched(number=n) for n in range(3)))
    await service.enqueue(Inside(number=1, fail="permanently"))
    await service.query("UPDATE jobs SET run_at = now() + interval '1 h' WHERE queue = 'batches'")
    async with service.working() as registry:

        def of(gauge, queue):
            return registry.get_sample_value(gauge, {"queue": queue})

        async def measured():
            return of("jobs_dead", "default") == 1 and of("jobs_waiting", "batches") == 3

        await service.until(measured)
        assert (of("jobs_waiting", "default"), of("jobs_dead", "batches")) == (0, 0)
        assert (of("jobs_running", "default"), of("jobs_oldest_due_seconds", "batches")) == (0, 0)


async def test_the_age_is_that_of_the_oldest_due_job_of_any_priority(service):
    await service.enqueue(Inside(number=1), priority=1)
    await service.enqueue(Inside(number=2), priority=3)
    await service.query("UPDATE jobs SET run_at = now() - interval '100 s' WHERE priority = 3")
    async with service.leases() as leases:
        state = (await leases.measure(["default"]))["default"]
    assert 100 <= state.age < 200
    assert (state.waiting, state.running, state.dead) == (2, 0, 0)


async def test_outcomes_durations_and_delays_are_counted_by_declared_kinds_alone(service):
    await service.enqueue(Inside(number=1), *(Batched(number=n) for n in range(5)))
    async with service.working() as registry:
        await service.until_states("done")
    for kind, number in ((Inside.kind, 1), (Batched.kind, 5)):
        labels = {"kind": kind, "outcome": "done"}
        assert registry.get_sample_value("job_attempts_total", labels) == number
        assert registry.get_sample_value("job_seconds_count", {"kind": kind}) == 1
    labels = {"queue": "batches"}
    assert registry.get_sample_value("job_start_delay_seconds_count", labels) == 5
    worker = service.worker()
    worker._metrics.count("what.a.stranger.wrote.v1", "dead")
    assert worker._metrics._label("what.a.stranger.wrote.v1") == UNDECLARED


async def test_an_attempt_belongs_to_the_trace_of_what_enqueued_the_job(service, spans):
    with trace.get_tracer("tests").start_as_current_span("request") as request:
        await service.enqueue(Inside(number=1), Outside(number=2), Batched(number=3))
    async with service.working():
        await service.until_states("done")
    wanted = request.get_span_context()
    for kind in (Inside, Outside, Batched):
        [span] = spans_named(spans, f"run {kind.kind}")
        assert span.context.trace_id == wanted.trace_id
        assert span.parent.span_id == wanted.span_id
        assert span.attributes["job.attempt"] == 1


async def test_a_failed_attempt_is_an_error_in_its_trace(service, spans):
    await service.enqueue(Inside(number=1, fail="permanently"))
    async with service.working():
        await service.until_states("dead")
    [span] = spans_named(spans, f"run {Inside.kind}")
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_a_batch_is_linked_to_what_enqueued_each_of_its_jobs(service, spans):
    contexts = []
    for number in range(2):
        with trace.get_tracer("tests").start_as_current_span("request") as request:
            await service.enqueue(Batched(number=number))
            contexts.append(request.get_span_context().span_id)
    async with service.working():
        await service.until_states("done")
    [span] = spans_named(spans, f"run batch {Batched.kind}")
    assert [link.context.span_id for link in span.links] == contexts
