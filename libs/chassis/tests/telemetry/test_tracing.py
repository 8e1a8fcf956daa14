"""Spans go to a collector over OTLP if one is configured, and nowhere else."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.telemetry.tracing import context_from, span_from, span_if_recording

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """A small OTLP receiver: it keeps each POST body and returns 200."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.spans: dict[str, Span] = {}
        self.services: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        )
        request = ExportTraceServiceRequest.FromString(await reader.readexactly(length))
        self.paths.append(head.split()[1])
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans |= {span.name: span for span in scope.spans}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    async with server:
        yield collector, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def traced(endpoint: str, sample: str = "1") -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("traced.py")),
        endpoint,
        sample,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(output)
    return report


def sampled(traceparent: str) -> bool:
    """Read the flag (W3C Trace Context §3.2.2.5.1); newer versions set another flag beside it."""
    return bool(int(traceparent.rsplit("-", 1)[1], 16) & 1)


async def test_spans_are_exported_before_the_process_ends(collector: tuple[Collector, str]):
    received, address = collector
    report = await traced(address + "/")
    assert set(received.paths) == {"/v1/traces"}
    assert received.services == {"orders"}
    assert set(received.spans) == {"root", "child"}
    root, child = received.spans["root"], received.spans["child"]
    assert report["root"].startswith(f"00-{root.trace_id.hex()}-{root.span_id.hex()}-")
    assert sampled(report["root"])
    assert report["child"]["traceparent"] == f"00-{TRACE}-{child.span_id.hex()}-01"
    assert child.trace_id.hex() == TRACE
    assert child.parent_span_id.hex() == "b7ad6b7169203331"
    assert child.kind == Span.SPAN_KIND_CONSUMER


async def test_a_root_that_is_not_sampled_is_not_exported_and_a_parents_choice_is_followed(
    collector: tuple[Collector, str],
):
    received, address = collector
    report = await traced(address, sample="0")
    assert set(received.spans) == {"child"}
    assert not sampled(report["root"])


async def test_without_a_collector_there_is_no_exporter_and_a_trace_passes_through():
    report = await traced("")
    assert report["provider"] != "TracerProvider"
    assert report["root"] is None
    assert report["child"]["traceparent"].startswith(f"00-{TRACE}-")


async def test_an_unavailable_collector_does_not_delay_the_process():
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        started = asyncio.get_running_loop().time()
        await traced(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert asyncio.get_running_loop().time() - started < 15


def failing(failure: BaseException) -> list[ReadableSpan]:
    """Return the spans of both forms around work that raises `failure`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    with (
        contextlib.suppress(type(failure)),
        span_from(tracer, "job", {}, kind=trace.SpanKind.CONSUMER),
        span_if_recording(tracer, "commit"),
    ):
        raise failure
    return list(exporter.get_finished_spans())


@pytest.mark.parametrize("grouped", [False, True])
def test_a_span_shows_no_secret_and_no_row_of_the_error_that_ended_it(grouped: bool):
    """A collector keeps spans for others to see, as the log is kept."""
    error = asyncpg.UniqueViolationError("duplicate key of postgresql://orders:hunter2@db")
    error.detail = "Key (email)=(ada@example.com) already exists."
    spans = failing(ExceptionGroup("tasks", [error]) if grouped else error)
    assert [span.name for span in spans] == ["commit", "job"]
    for span in spans:
        [event] = span.events
        assert event.name == "exception"
        assert event.attributes
        stacktrace = str(event.attributes["exception.stacktrace"])
        assert "in failing" in stacktrace
        assert "asyncpg.exceptions.UniqueViolationError" in stacktrace
        assert span.status.status_code is trace.StatusCode.ERROR
        shown = span.to_json()
        assert "duplicate key of postgresql://[redacted]@db" in shown
        assert "ada@example.com" not in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize("ended", [asyncio.CancelledError(), TimeoutError(), SystemExit(1)])
def test_a_span_whose_work_was_not_completed_is_failed_by_the_type_of_what_ended_it(
    ended: BaseException,
):
    spans = failing(ended)
    assert [span.name for span in spans] == ["commit", "job"]
    for span in spans:
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == type(ended).__name__


def of_length(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdefA٣-", min_size=length - 1, max_size=length + 1)


PARENTS = st.builds(
    "-".join,
    st.tuples(
        st.sampled_from(["00", "01", "ff", "0", "٣٣"]),
        st.one_of(st.just(TRACE), st.just("0" * 32), of_length(32)),
        st.one_of(st.just("b7ad6b7169203331"), st.just("0" * 16), of_length(16)),
        st.sampled_from(["00", "01", "02", "03", "ff", "0g", "1", "01-more", "01\n"]),
    ),
)


@given(
    headers=st.fixed_dictionaries(
        {},
        optional={
            "traceparent": PARENTS | st.text(max_size=60),
            "tracestate": st.sampled_from(["", "a=1,b=2"]),
            "ce_id": st.just("1"),
        },
    )
)
def test_a_trace_context_is_read_as_the_propagator_reads_it(headers: dict[str, str]):
    expected = TraceContextTextMapPropagator().extract(headers)
    read = trace.get_current_span(context_from(headers)).get_span_context()
    assert read == trace.get_current_span(expected).get_span_context()
