"""The service's database in one process: its pool, and the transactions on it."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import override

from prometheus_client import CollectorRegistry

from chassis.cancellation import close_after, closed_by, to_the_end
from chassis.database.connecting import Connection
from chassis.database.metrics import register_pool_metrics
from chassis.database.orm import Orm, prepare_connection
from chassis.database.pool import Pool
from chassis.database.reachability import Reachability
from chassis.database.settings import DatabaseSettings
from chassis.database.statements import Statements
from chassis.database.unit import Unit
from chassis.deadline import check_deadline


class Database:
    """The pool of one process, and the transactions on it.

    Args:
        settings: addresses, pool and time-outs.
        application_name: the connections' name in ``pg_stat_activity``.
        reachability: records each attempt to connect.

    Attributes:
        direct: opens connections outside the pool, which bypass any pooler.
        connectors: the connectors, one for each address.
    """

    def __init__(
        self,
        *,
        settings: DatabaseSettings,
        application_name: str,
        reachability: Reachability | None = None,
    ) -> None:
        connector = settings.connector(reachability)
        self.direct = settings.direct_connector(reachability)
        apart = settings.database_direct_url is not None
        self.connectors = (connector, self.direct) if apart else (connector,)
        options = settings.connect_options(application_name)

        async def connect() -> Connection:
            return await prepare_connection(await connector.connect(**options))

        self._pool = Pool(
            connect=connect,
            size=settings.database_pool_size,
            overflow=settings.database_pool_overflow,
            timeout=settings.database_pool_timeout,
            recycle=settings.database_pool_recycle,
            ping_after=settings.database_pool_ping_after,
            ping_timeout=settings.database_connect_timeout,
        )
        self._orm = Orm(self._pool, settings.dialect_options(), settings.statement_log())

    def register_metrics(self, registry: CollectorRegistry) -> None:
        """Register metrics of the pool's connections in use and of the tasks that wait for one."""
        register_pool_metrics(self._pool, registry)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Database"]:
        """Close the pool after the block.

        Connections open at first use, so a process starts without the database.
        """
        try:
            yield self
        finally:
            await self._pool.close()

    def transaction(self) -> AbstractAsyncContextManager[Unit, None]:
        """Open one transaction: it commits after the block, or rolls back if the block raises.

        Raises:
            DeadlineExceeded: the request's deadline has passed; nothing is committed.
            PoolTimeoutError: by the first statement, if no connection was free in time.
        """
        return _Transaction(Unit(pool=self._pool, orm=self._orm))

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Statements]:
        """Hold one connection for a long-lived reader; each statement is a transaction of its own.

        After an error of SQLAlchemy's session, leave the block and open another.
        """
        statements = Statements(pool=self._pool, orm=self._orm)
        async with closed_by(statements.end):
            await statements.begin()
            yield statements


class _Transaction(AbstractAsyncContextManager[Unit, None]):
    """One transaction as a block: ``closed_by`` around a COMMIT.

    It is a class, because two generators with their context managers cost a request more than the
    work that they do here.
    """

    __slots__ = ("_unit",)

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    @override
    async def __aenter__(self) -> Unit:
        check_deadline()
        return self._unit

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unit = self._unit
        if error is not None:
            await close_after(error, unit.end)
            return
        try:
            await unit.commit()
        except BaseException as ended:
            await close_after(ended, unit.end)
            raise
        if not unit.ended_at_once():
            await to_the_end(unit.end())
