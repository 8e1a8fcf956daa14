"""Canaries: asyncpg says in its errors' text what `chassis.library_internals` reads there."""

import asyncpg
import pytest

from chassis.library_internals.asyncpg import says_closed
from testkit.library_internals import PrivateName

WHERE = PrivateName(
    library="asyncpg",
    owner=asyncpg.InterfaceError,
    name="__str__",
    used_by="chassis.library_internals.asyncpg",
)


async def test_a_statement_on_a_closed_connection_says_closed(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    await connection.close()
    with pytest.raises(asyncpg.InterfaceError) as refused:
        await connection.execute("SELECT 1")
    assert says_closed(refused.value), WHERE.look_at(f"says {str(refused.value)!r}")


async def test_a_wrong_argument_does_not(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    try:
        with pytest.raises(asyncpg.InterfaceError) as refused:
            await connection.fetch("SELECT $1::int", 1, 2)
    finally:
        await connection.close()
    assert not says_closed(refused.value), WHERE.look_at(f"says {str(refused.value)!r}")
