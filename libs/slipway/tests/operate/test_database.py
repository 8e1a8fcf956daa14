"""`slipway db bootstrap` may run twice at once, and shows no password, whatever is wrong."""

import asyncio
import secrets

import asyncpg
import pytest

from chassis.role_names import owner_role, runtime_role
from slipway.errors import SlipwayError
from slipway.operate import database
from slipway.operate.database import Database
from testkit.databases import url_for

_HIDDEN = "hunter2-hunter2"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> str:
    """A service of its own: roles belong to the whole server."""
    service = f"service_{secrets.token_hex(4)}"
    monkeypatch.setattr(database, "SERVICES", (service,))
    return service


def of(service: str, url: str) -> Database:
    roles = (owner_role(service), runtime_role(service))
    return Database(superuser_url=url, name=f"test_{service}", passwords=dict.fromkeys(roles, "x"))


async def ask(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


async def test_several_processes_create_the_same_database_at_once(
    service: str, postgres_url: str
) -> None:
    one = of(service, postgres_url)
    await asyncio.gather(*(one.prepare_when_there(limit=30) for _ in range(4)))
    assert await ask(one.runtime_url(service), "SELECT current_schema()") == service


async def test_a_role_that_may_not_create_a_database_is_named_without_its_password(
    service: str, postgres_url: str
) -> None:
    role = f"weak_{service}"
    await ask(postgres_url, f"CREATE ROLE {role} LOGIN PASSWORD '{_HIDDEN}'")
    there = url_for(postgres_url, database="postgres", role="x").rpartition("@")[2]
    for url in (
        f"postgresql://{role}:{_HIDDEN}@{there}",
        f"postgresql://{there}?user={role}&password={_HIDDEN}",
    ):
        with pytest.raises(SlipwayError, match="permission denied") as refused:
            await of(service, url).prepare_when_there(limit=0)
        assert there in str(refused.value)
        assert _HIDDEN not in str(refused.value)


async def test_a_wrong_parameter_is_named_and_not_waited_for(service: str) -> None:
    url = f"postgresql://admin:{_HIDDEN}@127.0.0.1:1/x?sslmode=full"
    with pytest.raises(SlipwayError, match="`sslmode` parameter must be one of") as refused:
        await of(service, url).prepare_when_there(limit=60)
    assert _HIDDEN not in str(refused.value)
