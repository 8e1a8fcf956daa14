#!/usr/bin/env bash
# uvicorn 0.54.0, opentelemetry-sdk 1.45.1: after a graceful shutdown, uvicorn restores the handlers
# of signals and raises SIGTERM again, which ends the process at once. Python runs no code after
# uvicorn.run, no `finally` and no atexit handler. OpenTelemetry's TracerProvider exports the spans
# of the last seconds in an atexit handler, so each rolling update loses them, while Ctrl-C (SIGINT)
# in development does not. The shutdown of the lifespan runs in both cases: shut providers down
# there. The documentation of uvicorn's graceful shutdown does not say that the signal is raised
# again; the exit status -15 is how it shows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    uvicorn==0.54.0 opentelemetry-sdk==1.45.1
cat > "$work/serve.py" <<'PY'
import sys

import uvicorn
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class Shown(SpanExporter):
    def export(self, spans):
        print(f"{len(spans)} span exported", flush=True)
        return SpanExportResult.SUCCESS


trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(Shown()))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        print("lifespan ended", flush=True)
        return
    with trace.get_tracer("app").start_as_current_span("request"):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


try:
    uvicorn.run(app, uds=sys.argv[1], log_level="error")
finally:
    print("code after uvicorn.run", flush=True)
PY
cat > "$work/show.py" <<'PY'
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

serve, folder = sys.argv[1], Path(sys.argv[2])


def request(path):
    for _ in range(300):
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
                return client.recv(1000).split()[1].decode()
        except OSError:
            time.sleep(0.1)
    return "no response"


for number in (signal.SIGINT, signal.SIGTERM):
    path = folder / number.name
    process = subprocess.Popen([sys.executable, serve, path], stdout=subprocess.PIPE, text=True)
    status = request(path)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    print(f"{number.name} after a {status}: {', '.join(output.splitlines())};",
          f"exit status {process.returncode}")
PY
"$work/venv/bin/python" "$work/show.py" "$work/serve.py" "$work" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
SIGINT after a 204: lifespan ended, code after uvicorn.run, 1 span exported; exit status 0
SIGTERM after a 204: lifespan ended; exit status -15
SEEN
