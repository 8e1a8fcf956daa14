"""Spans of producing, by OpenTelemetry's semantic conventions for messaging and for Kafka.

An event whose trace is recorded has one span when it is written, a child of the span that wrote it,
and one when it is sent, a child of the first. A batch has a span that only links to the latter. If
the trace is not recorded, no span is created.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context

from chassis.telemetry.tracing import context_from, is_sampled

tracer = trace.get_tracer(__name__)


@contextlib.contextmanager
def outbox_span(topic: str, key: str, message_id: str) -> Iterator[None]:
    """Open the span of one event that is written to the outbox."""
    if not trace.get_current_span().is_recording():
        yield
        return
    with tracer.start_as_current_span(
        f"create {topic}",
        kind=trace.SpanKind.PRODUCER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "create",
            "messaging.operation.name": "create",
            "messaging.destination.name": topic,
            "messaging.kafka.message.key": key,
            "messaging.message.id": message_id,
        },
    ):
        yield


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
    with tracer.start_as_current_span(
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
