"""A process that traces. Arguments: the collector's URL or nothing, and the sampled share."""

import json
import sys
from collections.abc import Mapping

from opentelemetry import trace
from prometheus_client import CollectorRegistry

from chassis.telemetry import configure_tracing, current_traceparent, span_from
from chassis.telemetry.resource import resource_of
from chassis.telemetry.tracing import current_trace_headers

PARENT: Mapping[str, str] = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
}


def main(endpoint: str, sample: str) -> None:
    configure_tracing(
        resource=resource_of("orders", port=9000),
        endpoint=endpoint or None,
        sample=float(sample),
        registry=CollectorRegistry(),
    )
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("root"):
        root = current_traceparent()
    with span_from(tracer, "child", PARENT, kind=trace.SpanKind.CONSUMER, attributes={"a": 1}):
        child = current_trace_headers()
    provider = type(trace.get_tracer_provider()).__name__
    sys.stdout.write(json.dumps({"root": root, "child": child, "provider": provider}))


if __name__ == "__main__":
    main(*sys.argv[1:])
