"""Spans of producing, by OpenTelemetry's semantic conventions for messaging and for Kafka.

Where its trace is recorded, an event has a span when it is written, a child of what wrote it, and
one when it is sent, a child of the first; a batch has one that only links to those. Where nothing
is recorded, nothing is made.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context

from chassis.telemetry.tracing import context_from

_SAMPLED = frozenset("13579bdf")  # the last digit of a traceparent that has this flag

tracer = trace.get_tracer(__name__)


@contextlib.contextmanager
def outbox_span(topic: str, key: str, message_id: str) -> Iterator[None]:
    """Be the span of one event that is written to the outbox."""
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
    """Begin the span of one message that is sent; the caller ends it."""
    if headers.get("traceparent", "")[-1:] not in _SAMPLED:
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
    """Be the span of a batch that is sent, linked to those of its messages that are recorded."""
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
