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

_LONGEST = 2000
# A statement may have values in its text: ids of a savepoint or lock, or what a migration writes.
_VALUES = re.compile(r"'(?:[^']|'')*'|\b\d{6,}\b")

type Note = Callable[[str, float, BaseException | None], None]
"""Gets a statement, how many seconds it took, and its error if it failed."""
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
            watch_engine(engine, self.note)

    def note(self, sql: str, seconds: float, error: BaseException | None) -> None:
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


def watch_engine(engine: Engine, note: Note) -> None:
    """Call `note` with each statement that SQLAlchemy ran on this engine.

    One for several sets of parameters is left out: a query logger of asyncpg sees it.
    """

    def begin(connection: Connection, *_: object) -> None:
        connection.info[note] = time.monotonic()

    def end(connection: Connection, *arguments: Any) -> None:  # noqa: ANN401 - the event's own
        _cursor, sql, _parameters, _context, several = arguments
        began = connection.info.pop(note, None)
        if began is not None and not several:
            note(sql, time.monotonic() - began, None)

    def fail(context: ExceptionContext) -> None:
        connection, sql = context.connection, context.statement
        if connection is None or connection.closed or connection.invalidated or sql is None:
            return
        began = connection.info.pop(note, None)
        if began is not None:
            note(sql, time.monotonic() - began, context.original_exception)

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


def statement_text(sql: str) -> str:
    """Return a statement on one line, without the values in it."""
    text = _VALUES.sub("…", " ".join(sql.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _kind(error: BaseException | None) -> str | None:
    """Return the kind of an error, whose text may quote values."""
    return None if error is None else type(error).__name__


def watch_nothing(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Log no statement of this connection."""
