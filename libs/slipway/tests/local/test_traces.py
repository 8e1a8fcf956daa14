"""The sink accepts what the exporter sends, compressed or not, and keeps the latest spans."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from slipway.local.spans import Span, Trace
from slipway.local.traces import SpanStore, create_app

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(SpanStore(limit=3)))
    async with httpx.AsyncClient(transport=transport, base_url="http://sink") as client:
        yield client


def export(trace: int, *starts: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "orders"
    spans = resource.scope_spans.add().spans
    for start in starts:
        span = spans.add(name=f"span {start}", kind=ProtoSpan.SPAN_KIND_PRODUCER)
        span.trace_id = trace.to_bytes(16)
        span.span_id = start.to_bytes(8)
        span.parent_span_id = (1).to_bytes(8)
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + 1
        span.attributes.add(key="n").value.int_value = 4
        span.attributes.add(key="raw").value.bytes_value = b"\x01"
        span.attributes.add(key="none")
        listed = span.attributes.add(key="list").value.array_value
        listed.values.add().bool_value = True
        mapped = span.attributes.add(key="map").value.kvlist_value
        mapped.values.add(key="inner").value.double_value = 0.5
    return request.SerializeToString()


async def spans(http: httpx.AsyncClient, trace: int) -> list[Span]:
    response = await http.get(f"/traces/{trace:032x}")
    return Trace.model_validate_json(response.content).spans


@pytest.mark.parametrize("compressed", [False, True])
async def test_spans_come_back_by_trace_in_order(
    http: httpx.AsyncClient, *, compressed: bool
) -> None:
    body = export(7, 20, 10)
    headers = PROTOBUF | ({"Content-Encoding": "gzip"} if compressed else {})
    content = gzip.compress(body) if compressed else body
    answer = await http.post("/v1/traces", content=content, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-protobuf")

    first, second = await spans(http, 7)
    assert (first.name, second.name) == ("span 10", "span 20")
    assert (first.service, first.kind, first.parent_span_id) == ("orders", "producer", f"{1:016x}")
    assert (first.start, first.end, first.error) == (10, 11, False)
    assert first.attributes == {
        "n": 4,
        "raw": "01",
        "none": None,
        "list": [True],
        "map": {"inner": 0.5},
    }
    assert await spans(http, 8) == []


async def test_a_compressed_export_may_have_several_members(http: httpx.AsyncClient) -> None:
    body = export(7, 20, 10)
    # A gzip stream is a series of members (RFC 1952 section 2.2). An exporter that compresses part
    # by part sends more than one, and the message may be split anywhere.
    content = gzip.compress(body[:3]) + gzip.compress(b"") + gzip.compress(body[3:])
    headers = PROTOBUF | {"Content-Encoding": "gzip"}
    answer = await http.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == 200
    assert [span.name for span in await spans(http, 7)] == ["span 10", "span 20"]


async def test_the_oldest_span_goes_first(http: httpx.AsyncClient) -> None:
    for trace, start in ((1, 1), (2, 2), (2, 3), (3, 4)):
        await http.post("/v1/traces", content=export(trace, start), headers=PROTOBUF)
    assert await spans(http, 1) == []
    assert len(await spans(http, 2)) == 2
    await http.post("/v1/traces", content=export(3, 5), headers=PROTOBUF)
    assert [span.start for span in await spans(http, 2)] == [3]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"\xff", PROTOBUF, 400),
        (b"no gzip", PROTOBUF | {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"truncated", mtime=0)[:-9], PROTOBUF | {"Content-Encoding": "gzip"}, 400),
        (b"", PROTOBUF | {"Content-Encoding": "br"}, 400),
    ],
)
async def test_an_invalid_export_is_refused(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await http.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == status


async def test_it_says_that_it_is_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz/ready")).status_code == 200
