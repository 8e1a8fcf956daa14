"""A lease that waits for a synchronous standby, and is given up meanwhile.

PostgreSQL shows the lease then, unlike a COMMIT of a unit of work whose connection is closed. That
is right: the lease gave nobody the job, and only one that is seen can be handed back.
"""

import asyncio

import pytest

from chassis.database import Connector, Database
from chassis.messaging import Wakeups
from testkit.databases import ServiceDatabase
from testkit.standbys import commits_wait, server_with_standbys, standby_away
from testkit.waiting import until

from .conftest import WorkingService
from .working import SERVICE, Outside, metadata, settings_for


@pytest.fixture(scope="module")
async def prepared(tmp_path_factory):
    async with server_with_standbys(tmp_path_factory.mktemp("postgres")) as server:
        yield await ServiceDatabase.create_from_metadata(server.url(), SERVICE, metadata)


@pytest.fixture(scope="module")
def settings(prepared):
    return settings_for(prepared.runtime_url)


@pytest.fixture
async def service(prepared, settings):
    wakeups = Wakeups(connector=Connector.to(prepared.runtime_url), application_name="hints")
    async with Database(settings=settings, application_name="tests").opened() as database:
        yield WorkingService(urls=prepared, database=database, wakeups=wakeups)


async def test_between_a_lease_and_the_standby_a_worker_that_stops_hands_the_job_back(service):
    await service.enqueue(Outside(number=1))
    async with standby_away(service.urls.superuser_url) as admin:
        worker = asyncio.create_task(service.worker().run())
        await until(lambda: commits_wait(admin))
        worker.cancel()

        async def leased():
            return await service.job("state, attempts") == ("running", 1)

        await until(leased)
    await asyncio.wait([worker])
    assert worker.cancelled()
    assert await service.job("state, attempts, lease") == ("waiting", 0, None)
    assert await service.effects() == []
