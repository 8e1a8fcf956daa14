"""What all tests of the chassis share: the spans that were recorded, and the log lines."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.typing import EventDict

from testkit.logs import own_logs


@pytest.fixture(scope="session")
def span_exporter() -> InMemorySpanExporter:
    """The exporter of this process's spans; a process has one provider, which is set once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(span_exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """Return the exporter, without the spans of earlier tests."""
    span_exporter.clear()
    return span_exporter


@pytest.fixture
async def logs() -> AsyncIterator[list[EventDict]]:
    """The lines that the test's own tasks log."""
    with own_logs() as entries:
        yield entries
