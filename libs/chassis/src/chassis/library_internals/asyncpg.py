"""asyncpg's errors, some of which differ only in their text."""

import asyncpg


def says_closed(error: asyncpg.InterfaceError) -> bool:
    """Return whether the reason of an error is a closed connection.

    asyncpg raises the same class for a wrong argument, a wrong state and a closed connection.
    """
    return "closed" in str(error)
