"""Spans of SQL statements, by OpenTelemetry's semantic conventions for databases.

Only a transaction whose trace is recorded is watched: others pay one look at the current span. A
span is made when its statement has ended, because asyncpg and SQLAlchemy both tell its duration.
"""

import time

import asyncpg
from opentelemetry import trace
from sqlalchemy import Engine

from chassis.database.watching import statement_text, watch_engine

tracer = trace.get_tracer(__name__)


def watch_if_recording(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Make spans of the statements of this connection if the current trace is recorded.

    Returns:
        Whether it does: `unwatch` must end it.
    """
    if not trace.get_current_span().is_recording():
        return False
    connection.add_query_logger(_logged)
    return True


def unwatch(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make no further spans of this connection's statements."""
    connection.remove_query_logger(_logged)


def listen_if_exporting(engine: Engine) -> None:
    """Make spans of the statements that SQLAlchemy runs on this engine, if spans are exported."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        watch_engine(engine, _record_if_recording)


def _logged(query: "asyncpg.connection.LoggedQuery") -> None:
    """Take a statement of asyncpg, which calls this in the context of its caller."""
    _record(query.query, query.elapsed, query.exception)


def _record_if_recording(sql: str, seconds: float, error: BaseException | None) -> None:
    """Take a statement of SQLAlchemy, which wraps asyncpg's errors."""
    if trace.get_current_span().is_recording():
        cause = None if error is None else error.__cause__
        _record(sql, seconds, cause or error)


def _record(sql: str, seconds: float, error: BaseException | None) -> None:
    ended = time.time_ns()
    operation = sql.split(None, 1)[0].rstrip(";").upper()
    span = tracer.start_span(
        operation,
        kind=trace.SpanKind.CLIENT,
        start_time=ended - int(seconds * 1e9),
        attributes={
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.query.text": statement_text(sql),
        },
    )
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(trace.StatusCode.ERROR)
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
            span.set_attribute("db.response.status_code", error.sqlstate)
    span.end(ended)
