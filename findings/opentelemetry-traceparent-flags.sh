#!/usr/bin/env bash
# opentelemetry-sdk 1.45.1: the traceparent of a sampled span ends in "-03", not in "-01" as in the
# examples of W3C Trace Context and in many log filters and tests. Bit 1 is the random-trace-id flag
# of Trace Context Level 2. To find sampled traces, test bit 0; do not compare the whole byte.
# A span that is not sampled ends in "-02".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.1
cat > "$work/show.py" <<'PY'
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

for name, sampler in (("sampled", ALWAYS_ON), ("not sampled", ALWAYS_OFF)):
    carrier = {}
    with TracerProvider(sampler=sampler).get_tracer("t").start_as_current_span("s"):
        TraceContextTextMapPropagator().inject(carrier)
    print(f"{name}: flags {carrier['traceparent'].rpartition('-')[2]}")
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
sampled: flags 03
not sampled: flags 02
SEEN
