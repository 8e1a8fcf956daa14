"""Log lines of SQL statements: of each, or of those that are slow; never with their parameters.

Nothing is registered unless a setting asks for it, so a process that logs no statements pays
nothing. asyncpg's query loggers see the statements that are run on a connection, and not those of
a prepared statement, which is how SQLAlchemy runs its own. So SQLAlchemy's are watched by its
events.
"""

import re
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import ExceptionContext

_BEGAN = "chassis.statement_began"
_LONGEST = 2000
# A statement may have values in its text: ids of a savepoint or lock, or what a migration writes.
_VALUES = re.compile(r"'(?:[^']|'')*'|\b\d{6,}\b")

type Watch = Callable[["asyncpg.Connection[asyncpg.Record]"], None]

log = structlog.get_logger(__name__)


class StatementLog:
    """Writes the lines.

    Args:
        every: whether each statement is logged.
        slow_ms: milliseconds from which on a statement is logged as slow; 0: none is.
    """

    def __init__(self, *, every: bool, slow_ms: float) -> None:
        self._every = every
        self._slow_seconds = slow_ms / 1000 if slow_ms else float("inf")
        self.on = every or slow_ms > 0

    def watch(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Log the statements that asyncpg runs on this connection."""
        if self.on:
            connection.add_query_logger(self._logged)

    def listen(self, engine: Engine) -> None:
        """Log the statements that SQLAlchemy runs on this engine."""
        if self.on:
            event.listen(engine, "before_cursor_execute", _begin)
            event.listen(engine, "after_cursor_execute", self._ended)
            event.listen(engine, "handle_error", self._failed)

    def note(self, sql: str, seconds: float, error: BaseException | None = None) -> None:
        """Write the line of a statement, if one is due."""
        if seconds >= self._slow_seconds:
            log.warning(
                "statement was slow",
                statement=statement_text(sql),
                milliseconds=round(seconds * 1000, 1),
                error=_kind(error),
            )
        elif self._every:
            log.info(
                "statement ended",
                statement=statement_text(sql),
                milliseconds=round(seconds * 1000, 1),
                error=_kind(error),
            )

    def _logged(self, query: "asyncpg.connection.LoggedQuery") -> None:
        """Take a statement of asyncpg, which calls this in the context of its caller."""
        self.note(query.query, query.elapsed, query.exception)

    def _ended(self, connection: Connection, *arguments: Any) -> None:  # noqa: ANN401 - the event's own
        _cursor, sql, _parameters, _context, several = arguments
        began = connection.info.pop(_BEGAN, None)
        # asyncpg's own logger sees a statement that is run for several sets of parameters.
        if began is not None and not several:
            self.note(sql, time.monotonic() - began)

    def _failed(self, context: ExceptionContext) -> None:
        connection, sql = context.connection, context.statement
        if connection is None or connection.closed or connection.invalidated or sql is None:
            return
        began = connection.info.pop(_BEGAN, None)
        if began is not None:
            self.note(sql, time.monotonic() - began, context.original_exception)


def statement_text(sql: str) -> str:
    """Return a statement on one line, without the values in it."""
    text = _VALUES.sub("…", " ".join(sql.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _begin(connection: Connection, *_: object) -> None:
    connection.info[_BEGAN] = time.monotonic()


def _kind(error: BaseException | None) -> str | None:
    """Return the kind of an error, whose text may quote values."""
    return None if error is None else type(error).__name__


def watch_nothing(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Log no statement of this connection."""
