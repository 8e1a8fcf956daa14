"""Waiting for a PostgreSQL server that is starting, as happens while a system is installed."""

import asyncio

import asyncpg

from chassis.database.urls import shown_address

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5


class DatabaseUnusableError(Exception):
    """The database is not usable; the text says which one, why, and what to do."""


async def wait_for_postgres(url: str, *, limit: float) -> None:
    """Return once the server accepts a connection.

    Args:
        url: ``postgresql://…``, with the role that will be used.
        limit: seconds to wait for a server that is unavailable or starting.

    Raises:
        DatabaseUnusableError: the server was unavailable for that long, it rejects this role, or
            the URL's parameters are wrong.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            message = (
                f"Postgres at {shown_address(url)} answers, and refuses: {error}. Compare role, "
                "password and database with what the bootstrap made"
            )
            raise DatabaseUnusableError(message) from error
        except asyncpg.ClientConfigurationError as error:
            message = (
                f"The URL of Postgres at {shown_address(url)} has wrong parameters: {error}. "
                "Correct them"
            )
            raise DatabaseUnusableError(message) from error
        except (OSError, asyncpg.PostgresError) as error:  # TimeoutError is an OSError
            if loop.time() + _POLL_SECONDS > end:
                message = (
                    f"Postgres at {shown_address(url)} did not answer within {limit:g} s: "
                    f"{str(error) or type(error).__name__}. Start it, or correct the address"
                )
                raise DatabaseUnusableError(message) from error
        else:
            await connection.close()
            return
        await asyncio.sleep(_POLL_SECONDS)
