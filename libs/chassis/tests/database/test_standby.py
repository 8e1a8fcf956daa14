"""A COMMIT that waits for a standby stays invisible until the standby has confirmed it.

PostgreSQL shows the changes of a transaction once it stops waiting, also if it stops because it was
asked to cancel the COMMIT. The relay would publish what no standby has.
"""

import asyncio

import pytest

from chassis.database import Database, is_infrastructure_error
from testkit.databases import ServiceDatabase
from testkit.standbys import commits_wait, server_with_standbys, standby_away, wait_for_standbys
from testkit.waiting import until

from .conftest import SERVICE, settings_for

INSERT = "INSERT INTO ledgers VALUES ($1, $2)"
SEEN = "SELECT count(*) FROM ledgers.ledgers WHERE name = $1"


@pytest.fixture(scope="module")
async def server(tmp_path_factory):
    async with server_with_standbys(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
async def prepared(server, metadata):
    return await ServiceDatabase.create_from_metadata(server.url(), SERVICE, metadata)


@pytest.fixture
async def admin(prepared):
    """The superuser, whose COMMITs wait for no standby; the others' wait for one that is away."""
    async with standby_away(prepared.superuser_url) as admin:
        yield admin


@pytest.fixture
def settings(prepared):
    return settings_for(
        prepared.runtime_url, database_statement_timeout=1, database_connect_timeout=1
    )


@pytest.fixture
async def database(settings):
    async with Database(settings=settings, application_name="standby").opened() as database:
        yield database


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("ends", ["time-out", "cancellation"])
async def test_between_a_commit_and_the_standby_whoever_gives_up_makes_nothing_visible(
    database, admin, monkeypatch, deferred, ends
):
    monkeypatch.setattr("chassis.database.unit._COMMIT_PATIENCE_SECONDS", 0.1)

    async def change():
        async with database.transaction() as unit:
            if deferred:
                unit.defer(INSERT, ends, 1)
            else:
                await unit.execute(INSERT, ends, 1)

    async def waits():
        return await commits_wait(admin)

    changing = asyncio.create_task(change())
    await until(waits)
    if ends == "cancellation":
        changing.cancel()
    await asyncio.wait([changing])
    if ends == "cancellation":
        assert changing.cancelled()
    else:
        error = changing.exception()
        assert error is not None
        assert is_infrastructure_error(error)
    assert await waits()
    assert await admin.fetchval(SEEN, ends) == 0
    await wait_for_standbys(admin, "")

    async def seen():
        return await admin.fetchval(SEEN, ends) == 1

    await until(seen)
    await admin.execute("DELETE FROM ledgers.ledgers")
