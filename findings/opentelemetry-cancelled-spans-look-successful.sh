#!/usr/bin/env bash
# opentelemetry-sdk 1.45.1: a span of start_as_current_span that a cancellation ends looks like one
# that succeeded: status UNSET and no exception. asyncio.timeout cancels what it bounds, and
# CancelledError is no Exception. So the spans of exactly those operations that exceeded their
# deadline are no errors: an error rate from spans does not count them, and a tail sampler that keeps
# errors drops them. The same block with start_span records the exception and has status ERROR, and
# so does start_as_current_span if the operation itself raises TimeoutError. The documentation of
# record_exception and set_status_on_exception, both on by default, names "any exceptions raised
# within the context". As a decorator of a generator, the span ends before the first value is asked
# for: 0.3 s of work is a span of less than 0.1 s, and its failure is no error either.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.1
cat > "$work/show.py" <<'PY'
import asyncio
import time
from contextlib import suppress

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("show")


async def cancelled_current():
    with tracer.start_as_current_span("start_as_current_span, cancelled"):
        await asyncio.sleep(5)


async def cancelled():
    with tracer.start_span("start_span, cancelled"):
        await asyncio.sleep(5)


async def raised():
    with tracer.start_as_current_span("start_as_current_span, TimeoutError inside"):
        async with asyncio.timeout(0.3):
            await asyncio.sleep(5)


@tracer.start_as_current_span("decorated generator, ValueError inside")
def rows():
    time.sleep(0.3)
    yield 1
    raise ValueError


async def main():
    for operation in cancelled_current, cancelled, raised:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3 if operation is not raised else None):
                await operation()
    with suppress(ValueError):
        list(rows())
    for span in exporter.get_finished_spans():
        events = [event.attributes["exception.type"].rpartition(".")[2] for event in span.events]
        length = "more" if span.end_time - span.start_time > 1e8 else "less"
        print(f"{span.name}: {span.status.status_code.name}, {events}, {length} than 0.1 s")


asyncio.run(main())
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
start_as_current_span, cancelled: UNSET, [], more than 0.1 s
start_span, cancelled: ERROR, ['CancelledError'], more than 0.1 s
start_as_current_span, TimeoutError inside: ERROR, ['TimeoutError'], more than 0.1 s
decorated generator, ValueError inside: UNSET, [], less than 0.1 s
SEEN
