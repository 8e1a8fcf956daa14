"""A real collector with our configuration keeps errors, slow traces and a share of the others.

`make collector-check` runs it; OTELCOL names the program.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import httpx
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from localservers.ports import free_port
from slipway.local.traces import SpanStore, create_app
from testkit.waiting import until

CONFIG = Path(__file__).parents[2] / "deploy" / "opentelemetry" / "collector.yaml"
MILLISECOND = 1_000_000
ORDINARY = 400
OURS = Random(16)  # ids of traces, the same in each run

type Trace = tuple[bytes, list[Span]]


def trace_of(*, milliseconds: int = 20, failed: bool = False) -> Trace:
    """Return a trace of two spans; the second one is slow or failed."""
    trace_id, root, now = OURS.randbytes(16), OURS.randbytes(8), time.time_ns()
    first = Span(name="first", trace_id=trace_id, span_id=root, start_time_unix_nano=now)
    first.end_time_unix_nano = now + 10 * MILLISECOND
    second = Span(name="second", trace_id=trace_id, span_id=OURS.randbytes(8), parent_span_id=root)
    second.start_time_unix_nano = now
    second.end_time_unix_nano = now + milliseconds * MILLISECOND
    if failed:
        second.status.code = Status.STATUS_CODE_ERROR
    return trace_id, [first, second]


@pytest.fixture
async def sink() -> AsyncIterator[tuple[SpanStore, str]]:
    store = SpanStore()
    port = free_port()
    config = uvicorn.Config(create_app(store), port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield store, f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def collector(sink: tuple[SpanStore, str], tmp_path: Path) -> AsyncIterator[str]:
    """Run the collector; only its addresses, and how long it waits, are not those of the file."""
    port, log = free_port(), tmp_path / "collector.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            os.environ["OTELCOL"],
            "--config",
            CONFIG,
            f"--set=receivers.otlp.protocols.http.endpoint=127.0.0.1:{port}",
            "--set=processors.tail_sampling.decision_wait=2s",
            "--set=service.telemetry.metrics.level=none",
            env=os.environ | {"TRACES_ENDPOINT": sink[1]},
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        status = await process.wait()
    text = log.read_text()
    assert status == 0, text
    assert '"level":"error"' not in text, text
    assert "deprecated" not in text.lower(), text


async def test_errors_and_slow_traces_are_kept_whole_and_a_share_of_the_others(
    sink: tuple[SpanStore, str], collector: str
):
    store, _ = sink
    ordinary = [trace_of() for _ in range(ORDINARY)]
    failed, slow = trace_of(failed=True), trace_of(milliseconds=501)
    nearly = trace_of(milliseconds=499)
    async with httpx.AsyncClient(base_url=collector, trust_env=False, timeout=60) as http:
        await until(lambda: listens(http), seconds=60)
        # The first spans of all traces, then the spans that decide: the latter come last, so when
        # the two traces are there, the others have been decided on.
        traces = [*ordinary, nearly, failed, slow]
        await send(http, [spans[0] for _, spans in traces])
        await send(http, [spans[1] for _, spans in traces])

    def kept(trace: Trace) -> int:
        return len(store.trace(trace[0].hex()).spans)

    await until(lambda: kept(failed) == kept(slow) == 2, seconds=60)
    shown = [kept(trace) for trace in ordinary]
    assert set(shown) == {0, 2}  # a trace is kept whole, or not at all
    share = shown.count(2) / ORDINARY
    assert 0.04 < share < 0.18, share
    print(f"kept {share:.1%} of {ORDINARY} ordinary traces, and {kept(nearly)} spans of 499 ms")


async def listens(http: httpx.AsyncClient) -> bool:
    try:
        await http.get("/")
    except httpx.TransportError:
        return False
    return True


async def send(http: httpx.AsyncClient, spans: list[Span]) -> None:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "orders"
    resource.scope_spans.add().spans.extend(spans)
    headers = {"Content-Type": "application/x-protobuf"}
    answer = await http.post("/v1/traces", content=request.SerializeToString(), headers=headers)
    assert answer.status_code == 200, answer.text
