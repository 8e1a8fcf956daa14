"""The charts count the connections that a process opens beside its pool."""

import re
from pathlib import Path

import pytest

from chassis.api import create_api
from chassis.process import Process
from chassis.service import installed_services
from chassis.worker import create_worker
from contracts import TOPICS
from testkit.waiting import until

CHECKS = Path(__file__).parents[2] / "helm/slipway/templates/checks.yaml"
COUNTED = {
    process: int(number)
    for process, number in re.findall(r'"(api|worker)" (\d+)', CHECKS.read_text(encoding="utf-8"))
}
LISTENS = {"notifications": {"notifications-feed"}}
WATCH = 1  # twice a minute, for a moment


@pytest.fixture(scope="session", params=installed_services(), ids=lambda service: service.name)
def declaration(request):
    return request.param


@pytest.fixture
def more_settings(tokens):
    return {"auth_signing_keys_file": tokens.signing_keys_file}  # which users needs


@pytest.fixture
def opened(db, declaration):
    """Return what waits for connections beside the pool, and then returns all there are."""

    async def beside(pool, expected):
        async def names():
            found = await db.fetch(
                "SELECT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = $1",
                f"{declaration.name}_runtime",
            )
            # The fixture's own connection has no name.
            return [one for (one,) in found if one and one != pool and not one.endswith("-watch")]

        async def are_there():
            return expected <= set(await names())

        await until(are_there)
        return await names()

    return beside


async def test_a_worker_opens_no_more_connections_than_the_charts_count(
    declaration, settings, topics, opened
):
    await topics.create([topic.name for topic in TOPICS])
    kafka = {
        "kafka_bootstrap_servers": topics.bootstrap_servers,
        "kafka_topic_prefix": topics.prefix,
    }
    service = declaration.name
    worker = create_worker(declaration, settings.model_copy(update=kafka))
    expected = {f"{service}-relay", f"{service}-jobs", f"{service}-worker-wakeups"}
    if declaration.urgent_topics:
        expected.add(f"{service}-urgent-relay")
    async with worker.router.lifespan_context(worker):
        assert len(await opened(f"{service}-worker", expected)) + WATCH <= COUNTED["worker"]


async def test_an_api_opens_no_more_connections_than_the_charts_count(
    declaration, settings, opened
):
    service = declaration.name
    app = create_api(declaration, settings, Process(name=service, settings=settings))
    expected = {f"{service}-wakeups", *LISTENS.get(service, ())}
    async with app.router.lifespan_context(app):
        assert len(await opened(service, expected)) + WATCH <= COUNTED["api"]
