"""Waiting for a Postgres that is about to be there, as it is while a system is installed."""

import asyncio
from urllib.parse import urlsplit

import asyncpg

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5


class DatabaseUnusableError(Exception):
    """The database can't be used; the text says which, why, and what to do."""


async def wait_for_postgres(url: str, *, limit: float) -> None:
    """Return once the server answers.

    Args:
        url: ``postgresql://…``, with the role that is going to be used.
        limit: seconds to wait for a server that is away or still starts.

    Raises:
        DatabaseUnusableError: it did not answer within the limit, or it refuses this role.
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
                f"Postgres at {_place(url)} answers, and refuses: {error}. Compare role, password "
                "and database with what the bootstrap made"
            )
            raise DatabaseUnusableError(message) from error
        except (OSError, asyncpg.PostgresError) as error:  # a time-out is an OSError, too
            if loop.time() + _POLL_SECONDS > end:
                message = (
                    f"Postgres at {_place(url)} did not answer within {limit:g} s: "
                    f"{str(error) or type(error).__name__}. Start it, or correct the address"
                )
                raise DatabaseUnusableError(message) from error
        else:
            await connection.close()
            return
        await asyncio.sleep(_POLL_SECONDS)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.username}@{parts.hostname}:{parts.port or 5432}{parts.path}"
