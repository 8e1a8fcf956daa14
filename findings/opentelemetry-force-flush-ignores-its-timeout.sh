#!/usr/bin/env bash
# opentelemetry-sdk 1.45.1: TracerProvider.force_flush(500) with a BatchSpanProcessor, whose export
# timeout is 500 ms too, takes as long as the exporter does, and returns True after the exporter gave
# up and the spans were lost. Neither time limit has an effect; only the exporter's own has. Here the
# collector accepts the connection and never answers, and the exporter's time limit is 3 s. So a
# process that flushes before it exits, with a bound and a check of the result, gets neither.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    opentelemetry-sdk==1.45.1 opentelemetry-exporter-otlp-proto-http==1.45.1
cat > "$work/show.py" <<'PY'
import logging
import socket
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

logging.disable()
silent = socket.create_server(("127.0.0.1", 0))
address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
processor = BatchSpanProcessor(OTLPSpanExporter(address, timeout=3), export_timeout_millis=500)
provider = TracerProvider()
provider.add_span_processor(processor)
provider.get_tracer("a program").start_span("work").end()
began = time.monotonic()
flushed = provider.force_flush(500)
took = time.monotonic() - began
print(f"force_flush(500) returned {flushed}, {'in time' if took < 2 else 'after the exporter'}")
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
force_flush(500) returned True, after the exporter
SEEN
