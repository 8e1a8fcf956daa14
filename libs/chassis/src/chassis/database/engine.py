"""SQLAlchemy engines outside the service's pool, for migrations and tests."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.database.connecting import Connection, Connector


def asyncpg_url(url: str) -> URL:
    """Return ``postgresql://…`` as the URL that SQLAlchemy's asyncpg dialect accepts."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def open_engine(
    connector: Connector,
    *,
    connect_args: Mapping[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - handed on as they are
) -> AsyncEngine:
    """Return an engine whose connections `connector` opens.

    The engine's own URL has no host, because asyncpg parses the address itself, in libpq's syntax.
    SQLAlchemy would pass on the URL's parameters unparsed, and does not support a list of hosts.

    Args:
        connector: opens the connections.
        connect_args: further arguments of SQLAlchemy's asyncpg dialect, and of asyncpg.
        options: further arguments of SQLAlchemy's ``create_async_engine``.
    """

    async def connect(**arguments: Any) -> Connection:  # noqa: ANN401 - handed on as they are
        return await connector.connect(**arguments)

    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": connect, **(connect_args or {})},
        **options,
    )
