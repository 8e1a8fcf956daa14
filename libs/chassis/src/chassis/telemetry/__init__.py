"""Logs, traces and metrics."""

from chassis.telemetry.logging import configure_logging
from chassis.telemetry.tracing import configure_tracing, current_traceparent, span_from

__all__ = ["configure_logging", "configure_tracing", "current_traceparent", "span_from"]
