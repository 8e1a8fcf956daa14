"""A password changes: refused connections are retried and shown, and end with the next secret."""

import asyncio
import secrets
from functools import partial

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import text

from chassis.database import Database, DatabaseSettings, is_infrastructure_error
from chassis.database.connecting import Address, Connector
from chassis.database.reachability import Reachability
from chassis.health import Health
from chassis.messaging.wakeup import listen
from chassis.role_names import runtime_role
from chassis.settings import Environment
from testkit.databases import PASSWORD, ServiceDatabase

NEW = "another: p@ss/wörd?"


class Role:
    """A runtime role for this test alone, because roles belong to the whole server."""

    def __init__(self, urls):
        self._urls = urls
        self.url = urls.runtime_url.replace(f":{PASSWORD}@", "@")

    async def change_password(self, password):
        """Change the password, and end the connections that used the old one."""
        admin = await asyncpg.connect(self._urls.superuser_url)
        role = runtime_role(self._urls.service)
        try:
            await admin.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            await admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE usename = $1 AND datname = current_database()",
                role,
            )
        finally:
            await admin.close()


@pytest.fixture
async def role(postgres_url):
    service = f"service_{secrets.token_hex(4)}"
    return Role(await ServiceDatabase.create_empty(postgres_url, service))


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """Return the mounted file with the password."""
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    file = tmp_path / "database_password"
    file.write_text(PASSWORD)
    return file


@pytest.fixture
def settings(role, secret):
    assert secret.exists()
    return DatabaseSettings(environment=Environment.DEVELOPMENT, database_url=SecretStr(role.url))


class ObservableHealth(Health):
    """A Health whose changes can be awaited."""

    def __init__(self):
        super().__init__()
        self._states: asyncio.Queue[str] = asyncio.Queue()

    def note(self, part, state):
        super().note(part, state)
        self._states.put_nowait(state)

    async def until(self, outcome):
        async with asyncio.timeout(30):
            while not (await self._states.get()).startswith(outcome):
                pass


@pytest.fixture
def health():
    return ObservableHealth()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def pool(settings, health, registry):
    reachability = Reachability(health=health, registry=registry)
    database = Database(settings=settings, application_name="tests", reachability=reachability)
    async with database.opened() as opened:
        yield opened


async def ask(pool):
    async with pool.transaction() as unit:
        return await unit.session.scalar(text("SELECT 1"))


async def test_a_password_that_changed_is_unavailability_until_its_file_changes(
    pool, role, secret, health, registry
):
    assert await ask(pool) == 1
    assert health.parts == {"database": "ok"}
    await role.change_password(NEW)
    for _ in range(3):
        with pytest.raises(Exception, match="password authentication failed") as raised:
            await ask(pool)
        assert is_infrastructure_error(raised.value)
    assert health.parts["database"].startswith("refused: InvalidPasswordError: password auth")
    assert registry.get_sample_value("database_reachable", {"address": "database"}) == 0
    await asyncio.to_thread(secret.write_text, NEW)
    assert await ask(pool) == 1
    assert health.parts == {"database": "ok"}
    assert registry.get_sample_value("database_reachable", {"address": "database"}) == 1
    labels = {"address": "database", "outcome": "refused"}
    assert registry.get_sample_value("database_connects_total", labels) == 3


async def test_readiness_and_liveness_do_not_depend_on_it(pool, role, health):
    health.started()
    await role.change_password(NEW)
    with pytest.raises(Exception, match="password authentication failed"):
        await ask(pool)
    assert health.ready == health.live == (True, "ok")


async def test_a_secret_that_is_a_whole_url_is_read_again_too(
    role, secret, tmp_path, health, registry
):
    del secret
    url = tmp_path / "database_url"

    def write_url(password):
        url.write_text(role.url.replace("@", f":{password}@"))

    def load():
        (tmp_path / "database_password").unlink()
        return DatabaseSettings(environment=Environment.DEVELOPMENT)

    await asyncio.to_thread(write_url, PASSWORD)
    settings = await asyncio.to_thread(load)
    reachability = Reachability(health=health, registry=registry)
    database = Database(settings=settings, application_name="tests", reachability=reachability)
    async with database.opened() as pool:
        assert await ask(pool) == 1
        await role.change_password("new")
        await asyncio.to_thread(write_url, "new")
        assert await ask(pool) == 1
        async with pool.direct.opened("tests-direct") as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_probes_show_it_while_the_pool_still_has_good_connections(pool, role, health):
    """No request needs a new connection yet, but the probes must show the failure already."""

    [connector] = pool.connectors
    watching = asyncio.create_task(connector.watch("tests-watch", seconds=0.06))
    try:
        await health.until("ok")
        await role.change_password(NEW)
        await health.until("refused")
        await role.change_password(PASSWORD)
        await health.until("ok")
    finally:
        watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_listener_waits_for_the_new_password_and_goes_on(role, health, registry):
    password = PASSWORD
    hints: asyncio.Queue[str] = asyncio.Queue()
    connector = Connector(
        address=lambda: Address(url=role.url, password=password),
        reachability=Reachability(health=health, registry=registry),
    )
    listening = asyncio.create_task(
        listen(connector, "tests-listen", "tests_channel", hints.put_nowait)
    )
    try:
        await health.until("ok")
        await role.change_password(NEW)
        await health.until("refused")
        password = NEW
        await health.until("ok")
        async with asyncio.timeout(30):
            assert [await hints.get() for _ in range(2)] == ["", ""]
    finally:
        listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_each_way_of_not_getting_in_has_its_name(role, health, registry):
    reachability = Reachability(health=health, registry=registry)
    place = role.url.rpartition("@")[2]
    for url, outcome in {
        role.url.replace("@", ":wrong@"): "refused",
        f"postgresql://nobody:x@{place}": "refused",
        "postgresql://nobody:x@127.0.0.1:1/none": "away",
        f"{role.url.replace('@', f':{PASSWORD}@')}?target_session_attrs=standby": "read-only",
    }.items():
        address = partial(Address, url=url)
        connector = Connector(address=address, reachability=reachability, name="database")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InternalClientError, OSError)) as raised:
            await connector.connect()
        assert is_infrastructure_error(raised.value)
        assert health.parts["database"].startswith(f"{outcome}: "), url


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://a:b@one:5432/shop", None),
        ("postgresql://a:b@one:5432,two:5433/shop", "read-write"),
        ("postgresql://a:b@/shop?host=one,two", "read-write"),
        ("postgresql://a:b@one,two/shop?target_session_attrs=any", None),
        ("postgresql://a:b,c@one/shop", None),
    ],
)
def test_of_several_hosts_one_that_takes_writes_is_wanted(url, wanted):
    assert Address(url=url).options.get("target_session_attrs") == wanted


async def test_of_several_hosts_those_that_do_not_respond_are_skipped(role):
    user, _, place = role.url.removeprefix("postgresql://").partition("@")
    url = f"postgresql://{user}:{PASSWORD}@127.0.0.1:1,{place}"
    settings = DatabaseSettings.model_construct(database_url=SecretStr(url))
    async with Database(settings=settings, application_name="tests").opened() as pool:
        assert await ask(pool) == 1


def test_an_address_shows_no_secret():
    address = Address(url="postgresql://a:hunter2@one/shop", password="hunter2")
    assert "hunter2" not in repr(address)
