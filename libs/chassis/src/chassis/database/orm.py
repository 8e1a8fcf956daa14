"""SQLAlchemy on connections that the pool lends, so that its sessions share a unit's transaction.

SQLAlchemy neither opens nor closes these connections, and sends neither BEGIN nor COMMIT: for it,
they are in autocommit mode. The unit of work does all that.
"""

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from chassis.database.connecting import Connection
from chassis.database.errors import DRIVER_ERRORS
from chassis.database.pool import Pool, PooledConnection
from chassis.database.spans import listen_if_exporting
from chassis.database.watching import StatementLog
from chassis.library_internals.sqlalchemy import await_only

_HELD = "chassis.held"
_BORROWER = "chassis.borrower"
_lent: ContextVar[PooledConnection] = ContextVar("the connection that SQLAlchemy is lent")


class Borrower(Protocol):
    """Who runs SQLAlchemy's statements on a connection, and begins its transaction."""

    def must_begin(self, sql: str) -> bool:
        """Return whether ``begin`` must be called before this statement."""

    async def begin(self) -> None:
        """Begin the transaction."""


class LentConnections(PGDialect_asyncpg):
    """SQLAlchemy's dialect for asyncpg, on connections that somebody else opens and closes."""

    supports_statement_cache = True

    def connect(self, *_: object, **options: Any) -> DBAPIConnection:  # noqa: ANN401 - the dialect's own
        """Return the lent connection. It keeps its prepared statements from one loan to the next.

        Args:
            options: the dialect's own.
        """
        held = _lent.get()

        async def give() -> Connection:
            return held.driver

        if held.adapted is None:
            held.adapted = super().connect(async_creator_fn=give, **options)
        adapted: DBAPIConnection = held.adapted
        return adapted

    def on_connect(self) -> None:
        """Do nothing: ``prepare_connection`` has set the codecs."""

    def do_close(self, dbapi_connection: DBAPIConnection) -> None:
        """Leave the connection open."""

    def do_terminate(self, dbapi_connection: DBAPIConnection) -> None:
        """Leave the connection open."""


registry.register("postgresql.lent", __name__, LentConnections.__name__)


async def prepare_connection(connection: Connection) -> Connection:
    """Set the codecs that SQLAlchemy's dialect expects, and return the connection.

    JSON goes in as text and comes out as Python objects.
    """
    for name, version in (("json", b""), ("jsonb", b"\x01")):
        encode, decode = _json_codec(version)
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encode, decoder=decode, format="binary"
        )
    return connection


def _json_codec(version: bytes) -> tuple[Callable[[str], bytes], Callable[[bytes], Any]]:
    """Return encoder and decoder; the binary form of jsonb begins with its version."""

    def encode(text: str) -> bytes:
        return version + text.encode()

    def decode(data: bytes) -> object:
        return json.loads(data[len(version) :])

    return encode, decode


class Orm:
    """Lends a pool's connections to SQLAlchemy.

    Args:
        pool: is told of the errors of SQLAlchemy's statements.
        options: further options of SQLAlchemy's dialect for asyncpg.
        statements: logs SQLAlchemy's statements.
    """

    def __init__(self, pool: Pool, options: Mapping[str, Any], statements: StatementLog) -> None:
        self._pool = pool
        self._engine = create_async_engine(
            "postgresql+lent://",
            connect_args=dict(options),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # errors are logged, and must not contain personal data
        )
        event.listen(self._engine.sync_engine, "before_cursor_execute", _begin_if_it_must)
        event.listen(self._engine.sync_engine, "handle_error", self._failed)
        statements.listen(self._engine.sync_engine)
        listen_if_exporting(self._engine.sync_engine)

    async def lend(self, held: PooledConnection, borrower: Borrower) -> AsyncConnection:
        """Lend `held` to SQLAlchemy until the connection that is returned is closed."""
        token = _lent.set(held)
        try:
            connection = await self._engine.connect()
        finally:
            _lent.reset(token)
        info = (await connection.get_raw_connection()).info
        info[_HELD], info[_BORROWER] = held, borrower
        return connection

    def _failed(self, context: ExceptionContext) -> None:
        """Pass the driver's error of a statement, which SQLAlchemy wraps, to the pool."""
        raised = context.original_exception
        error = raised if isinstance(raised, DRIVER_ERRORS) else raised.__cause__
        if isinstance(error, DRIVER_ERRORS):
            self._pool.failed(_holder_of(context), error)


def _begin_if_it_must(connection: SyncConnection, *arguments: Any) -> None:  # noqa: ANN401 - the event's own
    _cursor, sql, _parameters, context, _several = arguments
    borrower: Borrower = connection.info[_BORROWER]
    # A cursor of the server, which `stream` opens, needs a transaction.
    if context.execution_options.get("stream_results") or borrower.must_begin(sql):
        await_only(borrower.begin())


def _holder_of(context: ExceptionContext) -> PooledConnection | None:
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return None
    held: PooledConnection | None = connection.connection.info.get(_HELD)
    return held
