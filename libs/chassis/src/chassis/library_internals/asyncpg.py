"""What asyncpg does not offer: errors that differ only in their text, and a state."""

import asyncpg


def says_closed(error: asyncpg.InterfaceError) -> bool:
    """Return whether the reason of an error is a closed connection.

    asyncpg raises the same class for a wrong argument, a wrong state and a closed connection.
    """
    return "closed" in str(error)


def is_cancelling(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Return whether the server has not yet ended a statement that asyncpg asked it to cancel."""
    if connection.is_closed():  # it may have no protocol any more
        return False
    cancelling: bool = connection._protocol._is_cancelling()  # type: ignore[attr-defined]  # private
    return cancelling
