"""The worker factory: what it opens is closed in the opposite order of its use."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from chassis.process import Process
from chassis.settings import Environment
from chassis.wiring import ServiceSettings
from chassis.worker import create_worker

from .counting import open_resources, subscriptions


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
    async def open_and_note(process):
        async with open_resources(process) as resources:
            yield resources
        order.append("resources closed")

    process = Process(name="counters-worker", settings=settings)
    worker = create_worker(
        process=process,
        settings=settings,
        open_resources=open_and_note,
        subscriptions=subscriptions(),
    )
    async with worker.router.lifespan_context(worker):
        begun = asyncio.Event()
        process.start(use_until_cancelled(begun), name="a task")
        await begun.wait()
    assert order == ["task ended", "resources closed"]
    assert process.failure is None
