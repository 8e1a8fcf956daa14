"""The gateway continues a trusted proxy's trace, and others' only if a setting says so."""

import asyncio
from ipaddress import ip_network

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from gateway.addresses import Addresses
from gateway.tracing import Traces
from testkit.waiting import until

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
PARENT = 0xB7AD6B7169203331
RECORDED = (b"traceparent", b"00-%032x-%016x-01" % (TRACE, PARENT))
DROPPED = (b"traceparent", b"00-%032x-%016x-00" % (TRACE, PARENT))
STATE = (b"tracestate", b"vendor=1")
BAGGAGE = "user=ada"


class Recorder:
    """Opens spans as the gateway does, and keeps those that are recorded."""

    def __init__(self, *, sampling, trust_clients=False):
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sampling)))
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(
            tracer=provider.get_tracer("gateway"),
            addresses=Addresses([ip_network("10.0.0.0/8")]),
            trust_clients=trust_clients,
        )

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def upstream_fields(self, peer, *fields):
        """Serve one request; return the fields that are forwarded."""
        scope = scope_of(*fields, peer=peer)
        with self.traces.server_span(scope):
            return dict(self.traces.upstream_fields(scope, [BAGGAGE]))


def scope_of(*fields, peer="203.0.113.1"):
    return {
        "type": "http",
        "method": "GET",
        "path": "/a",
        "client": (peer, 1),
        "headers": list(fields),
    }


CLIENT, PROXY = "203.0.113.1", "10.0.0.1"


def test_a_client_can_have_nothing_recorded():
    recorder = Recorder(sampling=0)
    sent = recorder.upstream_fields(CLIENT, RECORDED, STATE)
    assert recorder.spans == ()
    _, trace_id, _, flags = sent["traceparent"].split("-")
    assert int(trace_id, 16) != TRACE
    assert int(flags, 16) & 1 == 0
    assert "tracestate" not in sent
    assert "baggage" not in sent


@pytest.mark.parametrize("field", [RECORDED, DROPPED])
def test_a_client_can_neither_choose_nor_prevent_a_trace_but_it_is_linked(field):
    recorder = Recorder(sampling=1)
    sent = recorder.upstream_fields(CLIENT, field, STATE)
    (span,) = recorder.spans
    assert span.parent is None
    assert span.context.trace_id != TRACE
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (TRACE, PARENT)
    ]
    assert sent["traceparent"].split("-")[1] == f"{span.context.trace_id:032x}"
    assert "tracestate" not in sent


def test_a_trusted_proxys_trace_goes_on_with_its_state_and_baggage():
    recorder = Recorder(sampling=0)
    sent = recorder.upstream_fields(PROXY, RECORDED, STATE)
    (span,) = recorder.spans
    assert (span.parent.trace_id, span.parent.span_id) == (TRACE, PARENT)
    assert not span.links
    assert sent["tracestate"] == "vendor=1"
    assert sent["baggage"] == BAGGAGE


def test_a_trusted_proxy_may_decide_against_a_recording():
    recorder = Recorder(sampling=1)
    recorder.upstream_fields(PROXY, DROPPED)
    assert recorder.spans == ()


def test_in_development_a_client_may_be_believed():
    recorder = Recorder(sampling=0, trust_clients=True)
    recorder.upstream_fields(CLIENT, RECORDED)
    (span,) = recorder.spans
    assert span.parent.span_id == PARENT


@pytest.mark.parametrize("value", [b"", b"nonsense", b"00-%032x-%016x-01" % (0, 0), b"\xff"])
def test_what_is_no_trace_is_not_linked(value):
    recorder = Recorder(sampling=1)
    recorder.upstream_fields(CLIENT, (b"traceparent", value))
    (span,) = recorder.spans
    assert span.parent is None
    assert not span.links


def test_an_api_key_in_a_path_is_not_recorded():
    recorder = Recorder(sampling=1)
    secret = "0123456789abcdef" * 4
    with recorder.traces.server_span(scope_of() | {"path": f"/a/slipway_a1b2c3d4e5f6_{secret}"}):
        pass
    (span,) = recorder.spans
    assert span.attributes["url.path"] == "/a/slipway_a1b2c3d4e5f6_[redacted]"


def test_the_span_is_the_current_one_until_it_ends_however_that_is():
    traces = Recorder(sampling=1).traces
    before = trace.get_current_span()

    def fail():
        with traces.server_span(scope_of()) as span:
            assert trace.get_current_span() is span
            message = "broken"
            raise ValueError(message)

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert trace.get_current_span() is before


def test_without_a_trace_from_the_caller_a_request_is_no_part_of_one_around_it():
    around = trace.SpanContext(trace_id=1, span_id=2, is_remote=False)
    with (
        trace.use_span(trace.NonRecordingSpan(around)),
        Recorder(sampling=1).traces.server_span(scope_of()) as span,
    ):
        assert span.get_span_context().trace_id != around.trace_id


GET = b"GET /api/v1/%b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def recorded(start):
    """A gateway whose spans are all recorded."""
    gateway, recorder = await start(), Recorder(sampling=1)
    gateway.server.traces = recorder.traces
    return gateway, recorder


async def ended_span(recorder):
    await until(lambda: bool(recorder.spans))
    (span,) = recorder.spans
    return span


async def left(gateway, path, leave):
    """Send a request, and close the connection when `leave` returns."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(GET % path)
    await leave(reader)
    writer.transport.abort()


async def test_the_span_of_a_request_whose_client_leaves_is_a_failed_one(recorded, service):
    gateway, recorder = recorded
    await left(gateway, b"products?hang", lambda _: service.begun.wait())
    span = await ended_span(recorder)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "incomplete_response"
    assert "http.response.status_code" not in span.attributes


async def test_the_span_of_a_response_that_the_service_breaks_off_is_a_failed_one(recorded):
    gateway, recorder = recorded
    await left(gateway, b"notifications/unsubscribe?break=1&parts=2", lambda reader: reader.read())
    span = await ended_span(recorder)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "incomplete_response"
    assert span.attributes["http.response.status_code"] == 200


async def test_a_whole_response_fails_no_span(recorded):
    gateway, recorder = recorded
    await gateway.http.get("/api/v1/products")
    span = await ended_span(recorder)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert "error.type" not in span.attributes


async def test_a_client_ends_a_stream_by_leaving_which_fails_no_span(recorded):
    gateway, recorder = recorded
    await left(gateway, b"notifications/stream?stream=1", lambda reader: reader.readuntil(b"data:"))
    span = await ended_span(recorder)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert span.attributes["http.response.status_code"] == 200
