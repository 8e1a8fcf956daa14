"""Canaries: asyncpg's errors and connections say what `chassis.library_internals` reads there."""

import asyncpg
import pytest
from asyncpg.protocol.protocol import BaseProtocol

from chassis.library_internals.asyncpg import is_cancelling, says_closed
from testkit.library_internals import PrivateName

WHERE = PrivateName(
    library="asyncpg",
    owner=asyncpg.InterfaceError,
    name="__str__",
    used_by="chassis.library_internals.asyncpg",
)
PROTOCOL = PrivateName(
    library="asyncpg",
    owner=asyncpg.Connection,
    name="_protocol",
    used_by="chassis.library_internals.asyncpg",
)
CANCELLING = PrivateName(
    library="asyncpg",
    owner=BaseProtocol,
    name="_is_cancelling",
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


@pytest.mark.parametrize("name", [PROTOCOL, CANCELLING], ids=lambda name: name.name)
def test_asyncpg_has_it(name):
    name.check()


async def test_between_a_cancellation_and_the_end_of_its_statement_it_is_cancelling(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    try:
        assert not is_cancelling(connection)
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(10)", timeout=0.01)
        assert is_cancelling(connection), CANCELLING.look_at("is False after a time-out")
        await connection.execute("SELECT 1")
        assert not is_cancelling(connection), CANCELLING.look_at("stays True")
    finally:
        await connection.close()
    assert not is_cancelling(connection)
