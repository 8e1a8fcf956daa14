"""The parts of a process on their own: its tasks and its health."""

import asyncio
import gc

import pytest

from chassis.health import Health
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings


@pytest.fixture
def process() -> Process:
    settings = ProcessSettings(environment=Environment.DEVELOPMENT)
    return Process(name="probe", settings=settings)


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_needs_the_group(process: Process):
    with pytest.raises(RuntimeError, match=r"'x' was started outside Process\.tasks"):
        process.start(forever(), name="x")


async def test_leaving_ends_every_task_also_one_that_never_began(process: Process):
    async with process.tasks():
        process.start(forever(), name="began")
        await asyncio.sleep(0)
        process.start(forever(), name="never began")
    gc.collect()  # a coroutine that was never awaited warns when it is collected
    assert process.failure is None
    assert not process.stopping.is_set()


async def test_a_task_that_ends_by_itself_stops_nothing(process: Process):
    ended = asyncio.Event()

    async def once() -> None:
        ended.set()

    async with process.tasks():
        process.start(once(), name="once")
        await ended.wait()
    assert process.failure is None
    assert process.health.live == (True, "ok")


async def test_a_task_that_fails_stops_the_process_and_fails_liveness(process: Process):
    async def broken() -> None:
        message = "broken"
        raise ValueError(message)

    async with process.tasks():
        process.start(broken(), name="b")
        process.start(forever(), name="other")
        await process.stopping.wait()
        assert process.health.live == (False, "task b failed")
    assert isinstance(process.failure, ValueError)


def test_readiness_in_its_order():
    health = Health()
    health.expect("keys")
    health.expect("position")
    assert health.ready == (False, "starting")
    health.started()
    assert health.ready == (False, "waiting for keys, position")
    health.loaded("keys")
    health.loaded("keys")
    assert health.ready == (False, "waiting for position")
    health.loaded("position")
    assert health.ready == (True, "ok")
    health.drain()
    assert health.ready == (False, "draining")
    assert health.live == (True, "ok")
