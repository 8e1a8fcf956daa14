"""The engine and its pool: one for each process, opened and closed by its lifespan."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, Self

import asyncpg
from pydantic import Field, SecretStr, model_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from chassis.database.pool import FairPool, LostConnections
from chassis.database.transaction import run_transaction
from chassis.settings import Settings


class Pooler(StrEnum):
    """What stands between the service and PostgreSQL."""

    NONE = "none"
    TRANSACTION = "transaction"


class DatabaseSettings(Settings):
    """How to reach the service's schema, and how many connections to hold."""

    database_url: SecretStr = Field(
        description="`postgresql://role:password@host:port/database` of the service's runtime role."
    )
    database_direct_url: SecretStr | None = Field(
        default=None,
        description="The same past any transaction pooler, for relay and LISTEN; default: the URL.",
    )
    database_pooler: Pooler = Field(
        default=Pooler.NONE,
        description="`transaction` where `DATABASE_URL` leads to a pooler like PgBouncer in "
        "transaction mode; then `DATABASE_DIRECT_URL` must lead past it.",
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=200, description="Connections that the pool keeps open."
    )
    database_pool_overflow: int = Field(
        default=5, ge=0, le=200, description="Connections beyond the pool's size, for a burst."
    )
    database_pool_timeout: float = Field(
        default=5, gt=0, le=60, description="Seconds that a request waits for a connection."
    )
    database_pool_recycle: int = Field(
        default=1800, ge=-1, description="Seconds after which a connection is replaced; -1: never."
    )
    database_pool_ping_after: float = Field(
        default=5,
        ge=0,
        le=3600,
        description="Seconds idle after which a pooled connection is tested before use, one round "
        "trip; 0: each time. One that the server closed is replaced in any case.",
    )
    database_statement_timeout: float = Field(
        default=10,
        gt=0,
        le=600,
        description="Seconds that one statement may take; behind a pooler, its `connect_query` "
        "says.",
    )
    database_connect_timeout: float = Field(
        default=3, gt=0, le=60, description="Seconds that opening a connection may take."
    )

    @model_validator(mode="after")
    def _a_pooler_is_passed_by(self) -> Self:
        if self.database_pooler is Pooler.TRANSACTION and self.database_direct_url is None:
            message = (
                "DATABASE_POOLER is transaction, and DATABASE_DIRECT_URL is not set: relay and "
                "LISTEN need a session of their own, so give the address of PostgreSQL itself"
            )
            raise ValueError(message)
        return self

    @property
    def direct_dsn(self) -> str:
        """The direct address, as asyncpg takes it."""
        return (self.database_direct_url or self.database_url).get_secret_value()

    def connect_arguments(self, application_name: str) -> dict[str, Any]:
        """Give what SQLAlchemy's asyncpg dialect needs to connect.

        A pooler in transaction mode takes no settings of the session but the application's name,
        and a prepared statement may stand on another server's connection than the next command: so
        none has a name, and each is parsed together with its use.
        """
        arguments: dict[str, Any] = {"timeout": self.database_connect_timeout}
        if self.database_pooler is Pooler.TRANSACTION:
            return arguments | {
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": str,
                "server_settings": {"application_name": application_name},
            }
        return arguments | {
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": str(int(self.database_statement_timeout * 1000)),
                "jit": "off",
            }
        }


def asyncpg_url(url: str) -> URL:
    """Turn ``postgresql://…`` into the URL that SQLAlchemy's asyncpg dialect takes."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def open_engine(url: str, **options: Any) -> AsyncEngine:  # noqa: ANN401 - handed on as they are
    """Make an engine for a URL as libpq writes it, ``?sslmode=verify-full`` included.

    asyncpg reads the URL itself: SQLAlchemy would hand it the parameters as arguments, unread.

    Args:
        url: ``postgresql://…``.
        options: further ones of SQLAlchemy's ``create_async_engine``.
    """
    arguments = {"dsn": url} | options.pop("connect_args", {})
    return create_async_engine(asyncpg_url(url).set(query={}), connect_args=arguments, **options)


async def _connect(
    *arguments: Any,  # noqa: ANN401 - handed on as they are
    **options: Any,  # noqa: ANN401 - likewise
) -> asyncpg.Connection:
    """Connect; cancelled half-way, asyncpg would leave an exception that nobody retrieves."""
    connecting = asyncio.ensure_future(asyncpg.connect(*arguments, **options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await (await connecting).close(timeout=1)
        raise


class Database:
    """The pool of one process, and the transactions on it.

    Args:
        settings: addresses, pool and time-outs.
        application_name: how the connections show in ``pg_stat_activity``.
    """

    def __init__(self, *, settings: DatabaseSettings, application_name: str) -> None:
        self._engine = open_engine(
            settings.database_url.get_secret_value(),
            poolclass=FairPool,
            pool_size=settings.database_pool_size,
            max_overflow=settings.database_pool_overflow,
            pool_timeout=settings.database_pool_timeout,
            pool_recycle=settings.database_pool_recycle,
            hide_parameters=True,  # errors are logged: they must not carry people's data
            connect_args={
                "async_creator_fn": _connect,
                **settings.connect_arguments(application_name),
            },
        )
        LostConnections(
            after=settings.database_pool_ping_after, timeout=settings.database_connect_timeout
        ).watch(self._engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Database"]:
        """Close the pool when left; connections open at first use, so a start needs no database."""
        try:
            yield self
        finally:
            await self._engine.dispose()

    def transaction(self) -> contextlib.AbstractAsyncContextManager[AsyncSession]:
        """Run one transaction: commits when left, rolls back on an error.

        What ``before_commit`` registered runs at its end, what ``after_commit`` registered once
        the commit is certain. It takes a connection with its first statement; SQLAlchemy's
        TimeoutError is raised there when none is free for too long.
        """
        return run_transaction(self._sessions)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Hold one connection for a long-lived reader; each statement is a transaction of its own.

        A read is one round trip then, where ``transaction()`` makes three. After an error it is of
        no use any more: leave it, and open another.
        """
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            async with self._sessions(bind=connection) as session:
                yield session
