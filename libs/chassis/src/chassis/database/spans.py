"""Spans of SQL statements, by OpenTelemetry's semantic conventions for databases.

Only a transaction whose trace is recorded is watched: others pay one look at the current span. A
span is made when its statement has ended, because asyncpg and SQLAlchemy both tell its duration.
"""

import time
from functools import lru_cache

import asyncpg
from opentelemetry import trace
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue
from sqlalchemy import Engine

from chassis.database.watching import statement_text, watch_engine
from chassis.telemetry.ended_spans import FAILED, record_child, recorded_span

_SCOPE = InstrumentationScope(__name__)
_STATEMENTS = 200  # as many as a service has, and the last ones whose text has a lock's number


def watch_if_recording(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Make spans of the statements of this connection if the current trace is recorded.

    Returns:
        Whether it does: `unwatch` must end it.
    """
    if recorded_span() is None:
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
    cause = None if error is None else error.__cause__
    _record(sql, seconds, cause or error)


def _record(sql: str, seconds: float, error: BaseException | None) -> None:
    parent = recorded_span()
    if parent is None:
        return
    ended = time.time_ns()
    operation, text = _described(sql)
    attributes: dict[str, AttributeValue] = {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.query.text": text,
    }
    if error is not None:
        attributes["error.type"] = type(error).__name__
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
            attributes["db.response.status_code"] = error.sqlstate
    record_child(
        parent,
        operation,
        scope=_SCOPE,
        kind=trace.SpanKind.CLIENT,
        began=ended - int(seconds * 1e9),
        ended=ended,
        attributes=attributes,
        status=trace.Status() if error is None else FAILED,
    )


@lru_cache(maxsize=_STATEMENTS)
def _described(sql: str) -> tuple[str, str]:
    """Return the operation of a statement, and its text without values.

    To search the text of an order's last statement costs more than its span.
    """
    return sql.split(None, 1)[0].rstrip(";").upper(), statement_text(sql)
