import pytest
from opentelemetry import trace

from gateway.tracing import server_span


def scope(*headers):
    return {"type": "http", "method": "GET", "path": "/a", "headers": list(headers)}


def test_the_span_is_the_current_one_until_it_ends_however_that_is():
    before = trace.get_current_span()
    parent = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    def fail():
        with server_span(scope(parent)) as span:
            assert trace.get_current_span() is span
            assert span.get_span_context().trace_id == 0x0AF7651916CD43DD8448EB211C80319C
            message = "broken"
            raise ValueError(message)

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert trace.get_current_span() is before


def test_without_a_trace_from_the_caller_a_request_is_no_part_of_one_around_it():
    around = trace.SpanContext(trace_id=1, span_id=2, is_remote=False)
    with (
        trace.use_span(trace.NonRecordingSpan(around)),
        server_span(scope()) as span,
    ):
        assert span.get_span_context().trace_id != around.trace_id
