"""Spans of producing, by OpenTelemetry's semantic conventions for messaging and for Kafka.

An event whose trace is recorded has one span when it is written, a child of the span that wrote it,
and one when it is sent, a child of the first. A batch has a span that only links to the latter. If
the trace is not recorded, no span is created.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from chassis.telemetry.ended_spans import record_child, recorded_span
from chassis.telemetry.tracing import (
    context_from,
    current_trace_headers,
    is_sampled,
    open_span,
    trace_headers,
)

tracer = trace.get_tracer(__name__)
_SCOPE = InstrumentationScope(__name__)


def outbox_headers(topic: str, key: str, message_id: str) -> dict[str, str]:
    """Return the trace headers of one event that is written to the outbox, and record its span."""
    parent = recorded_span()
    if parent is None:
        return current_trace_headers()
    now = time.time_ns()
    context = record_child(
        parent,
        f"create {topic}",
        scope=_SCOPE,
        kind=trace.SpanKind.PRODUCER,
        began=now,
        ended=now,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "create",
            "messaging.operation.name": "create",
            "messaging.destination.name": topic,
            "messaging.kafka.message.key": key,
            "messaging.message.id": message_id,
        },
    )
    return trace_headers(context)


def message_span(
    topic: str, key: str, partition: int, headers: Mapping[str, str]
) -> trace.Span | None:
    """Start the span of one message to send, or return None; the caller ends it."""
    if not is_sampled(headers):
        return None
    return tracer.start_span(
        f"send {topic}",
        context=context_from(headers),
        kind=trace.SpanKind.PRODUCER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": "send",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.message.key": key,
            "messaging.message.id": headers.get("ce_id", ""),
        },
    )


@contextlib.contextmanager
def batch_span(
    topic: str, partition: int, count: int, messages: Sequence[trace.Span]
) -> Iterator[None]:
    """Open the span of a batch to send, linked to the spans of its recorded messages."""
    if not messages:
        yield
        return
    with open_span(
        tracer,
        f"send batch {topic}",
        context=Context(),
        kind=trace.SpanKind.CLIENT,
        links=[trace.Link(span.get_span_context()) for span in messages],
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": "send batch",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.batch.message_count": count,
        },
    ):
        yield
