"""The worker factory closes what it opens, in the reverse order of use."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from chassis.process import Process
from chassis.settings import Environment
from chassis.wiring import ServiceSettings
from chassis.worker import create_worker

from .counting import service


@pytest.fixture
def settings(service_database, tokens):
    return ServiceSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(service_database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",
        auth_jwks_file=tokens.jwks_file,
    )


async def test_tasks_end_before_what_they_use_is_closed(settings):
    order = []

    async def use_until_cancelled(begun):
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            order.append("task ended")

    @asynccontextmanager
    async def note(common, _settings, _process):
        yield common
        order.append("resources closed")

    process = Process(name="counters-worker", settings=settings)
    worker = create_worker(service(extend=note), settings, process)
    async with worker.router.lifespan_context(worker):
        begun = asyncio.Event()
        process.start(use_until_cancelled(begun), name="a task")
        await begun.wait()
    assert order == ["task ended", "resources closed"]
    assert process.failure is None
