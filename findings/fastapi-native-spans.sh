#!/usr/bin/env bash
# fastapi 0.165.0: FastAPI() opens a server span for each request by the global tracer provider,
# without any instrumentation package, and beside the span of your own ASGI middleware. It keeps
# silent only if the class OpenTelemetryMiddleware of opentelemetry.instrumentation.asgi is in the
# middleware stack. So replacing that class by a lighter one of your own doubles the server spans.
# FastAPI(telemetry={"tracing": False}) turns its span off.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastapi==0.165.0 httpx==0.28.1 opentelemetry-sdk==1.45.1 opentelemetry-instrumentation-asgi==0.66b1
cat > "$work/show.py" <<'PY'
import asyncio

import httpx
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.middleware import Middleware

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


class OwnSpan:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        with trace.get_tracer("own").start_as_current_span("own", kind=trace.SpanKind.SERVER):
            await self.app(scope, receive, send)


async def server_spans(*middleware, **options):
    app = FastAPI(middleware=list(middleware), **options)
    app.add_api_route("/", lambda: "x")
    exporter.clear()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/")
    spans = exporter.get_finished_spans()
    return sum(span.kind is trace.SpanKind.SERVER for span in spans)


async def main():
    print("no middleware:", await server_spans())
    print("OpenTelemetryMiddleware:", await server_spans(Middleware(OpenTelemetryMiddleware)))
    print("own middleware:", await server_spans(Middleware(OwnSpan)))
    off = await server_spans(Middleware(OwnSpan), telemetry={"tracing": False})
    print("own middleware, tracing off:", off)


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
no middleware: 1
OpenTelemetryMiddleware: 1
own middleware: 2
own middleware, tracing off: 1
SEEN
