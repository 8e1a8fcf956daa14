"""The schema of the trace sink's responses."""

from typing import Any

from pydantic import BaseModel


class Span(BaseModel):
    """One span; times are in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    kind: str
    start: int
    end: int
    error: bool
    attributes: dict[str, Any]


class Trace(BaseModel):
    """All stored spans of one trace, in the order of their start."""

    spans: list[Span]
