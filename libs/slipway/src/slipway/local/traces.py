"""A sink for traces on one machine: accepts OTLP over HTTP, keeps the last spans in memory.

It replaces a tracing back end in development; `slipway demo` reads its hops from here.
"""

import os
import zlib
from collections import deque
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from chassis.listening import bind_host
from slipway.local.spans import Span, Trace
from slipway.settings import HOST

_MAX_BYTES = 32 * 1024 * 1024
_PROTOBUF = "application/x-protobuf"
_GZIP = 16 + zlib.MAX_WBITS


class SpanStore:
    """The last spans, by trace.

    Args:
        limit: the number of spans that are kept in total.
    """

    def __init__(self, *, limit: int = 5_000) -> None:
        self._limit = limit
        self._order: deque[Span] = deque()
        self._traces: dict[str, list[Span]] = {}

    def add(self, span: Span) -> None:
        """Store a span; drop the oldest if there are too many."""
        self._order.append(span)
        self._traces.setdefault(span.trace_id, []).append(span)
        if len(self._order) > self._limit:
            oldest = self._order.popleft()
            rest = self._traces[oldest.trace_id]
            rest.remove(oldest)
            if not rest:
                del self._traces[oldest.trace_id]

    def trace(self, trace_id: str) -> Trace:
        """Return the spans of a trace; none if it is unknown."""
        return Trace(spans=sorted(self._traces.get(trace_id, ()), key=lambda span: span.start))


def create_app(store: SpanStore) -> FastAPI:
    """The HTTP side: `POST /v1/traces` in, `GET /traces/{trace_id}` out."""
    app = FastAPI(title="Trace sink", openapi_url=None)

    @app.post("/v1/traces", response_class=Response)
    async def export(request: Request) -> Response:
        if request.headers.get("Content-Type") != _PROTOBUF:
            return _refusal(415, f"Send {_PROTOBUF}")
        try:
            body = _decode(await request.body(), request.headers.get("Content-Encoding"))
            spans = _spans(ExportTraceServiceRequest.FromString(body))
        except (DecodeError, ValueError, zlib.error) as error:
            return _refusal(400, f"The body is not an OTLP trace request: {error}")
        for span in spans:
            store.add(span)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=_PROTOBUF)

    @app.get("/traces/{trace_id}")
    async def trace(trace_id: str) -> Trace:
        return store.trace(trace_id)

    @app.get("/healthz/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    """Serve on TRACES_PORT of TRACES_HOST (`*`: all addresses) until SIGTERM."""
    app = create_app(SpanStore())
    host, port = os.environ.get("TRACES_HOST", HOST), int(os.environ["TRACES_PORT"])
    uvicorn.run(app, host=bind_host(host), port=port, access_log=False, log_level="warning")


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)


def _decode(body: bytes, encoding: str | None) -> bytes:
    if encoding not in {None, "identity", "gzip"}:
        message = f"The Content-Encoding {encoding} is not accepted. Send gzip, or none."
        raise ValueError(message)
    return _decompress(body) if encoding == "gzip" else body


def _decompress(body: bytes) -> bytes:
    """Return what all members of a gzip stream hold (RFC 1952 section 2.2).

    Raises:
        ValueError: a member is truncated, or they hold over ``_MAX_BYTES`` bytes.
        zlib.error: a member is no gzip.
    """
    whole = bytearray()
    while True:
        stream = zlib.decompressobj(_GZIP)
        # One byte more than is left, because 0 would mean no limit.
        whole += stream.decompress(body, _MAX_BYTES - len(whole) + 1)
        if not stream.eof or len(whole) > _MAX_BYTES:
            message = f"The gzip body is truncated, or has over {_MAX_BYTES} bytes."
            raise ValueError(message)
        body = stream.unused_data
        if not body:
            return bytes(whole)


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        _span(span, service)
        for resource in request.resource_spans
        for service in [_service(resource.resource.attributes)]
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: ProtoSpan, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() or None,
        service=service,
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes={item.key: _value(item.value) for item in span.attributes},
    )


def _service(attributes: Any) -> str:  # noqa: ANN401  # a repeated field, which has no public type
    return next((item.value.string_value for item in attributes if item.key == "service.name"), "")


def _value(value: AnyValue) -> Any:  # noqa: ANN401  # an attribute is any JSON value
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: _value(item.value) for item in value.kvlist_value.values}
        case "bytes_value":
            return value.bytes_value.hex()
        case kind:
            return getattr(value, kind)


if __name__ == "__main__":
    main()
