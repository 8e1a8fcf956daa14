"""The parts of a process by themselves: its tasks and its health."""

import asyncio
import gc
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest
from starlette.applications import Starlette

import chassis.process
from chassis.cancellation import StrayCancellationError
from chassis.health import Health, health_routes
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings


@pytest.fixture
def process() -> Process:
    settings = ProcessSettings(environment=Environment.DEVELOPMENT)
    return Process(name="probe", settings=settings)


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_process_collects_garbage_again_once_its_imports_are_done(process, monkeypatch):
    enabled = []

    async def serve(*_: object) -> None:
        enabled.append(gc.isenabled())

    monkeypatch.setattr(chassis.process, "_serve", serve)
    for name in ("configure_logging", "configure_tracing", "raise_descriptor_limit"):
        monkeypatch.setattr(chassis.process, name, lambda **_: process.settings.max_connections)
    monkeypatch.setattr(gc, "freeze", lambda: None)  # or all of this run's garbage would stay
    gc.disable()  # as `chassis.run` does
    try:
        chassis.process.run_worker(process, Starlette())
    finally:
        gc.enable()
    assert enabled == [True]


async def test_a_task_needs_the_group(process: Process):
    with pytest.raises(RuntimeError, match=r"'x' was started outside Process\.running"):
        process.start(forever(), name="x")


async def test_leaving_ends_every_task_also_one_that_never_began(process: Process):
    async with process.running(nullcontext()):
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

    async with process.running(nullcontext()):
        process.start(once(), name="once")
        await ended.wait()
    assert process.failure is None
    assert process.health.live == (True, "ok")


async def test_a_task_that_fails_stops_the_process_and_fails_liveness(process: Process):
    async def broken() -> None:
        message = "broken"
        raise ValueError(message)

    async with process.running(nullcontext()):
        process.start(broken(), name="b")
        process.start(forever(), name="other")
        await process.stopping.wait()
        assert process.health.live == (False, "task b failed")
    assert isinstance(process.failure, ValueError)


async def test_a_task_that_a_library_cancelled_from_within_counts_as_failed(process: Process):
    """A future that a library cancels raises CancelledError in whoever awaits it."""

    async def awaits_a_cancelled_future() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with process.running(nullcontext()):
        process.start(awaits_a_cancelled_future(), name="c")
        async with asyncio.timeout(5):
            await process.stopping.wait()
    assert isinstance(process.failure, StrayCancellationError)


class Resource:
    """Records what happens to something that a process holds."""

    def __init__(self, process, order):
        self.process = process
        self.order = order
        self.begun = asyncio.Event()

    async def use(self):
        try:
            self.begun.set()
            await forever()
        finally:
            self.order.append("task ended")

    @asynccontextmanager
    async def opened(self):
        self.process.start(self.use(), name="uses the resource")
        try:
            await self.begun.wait()
            yield self
        finally:
            self.order.append("closed")


@pytest.fixture
def resource(process):
    return Resource(process, [])


async def test_tasks_end_before_what_they_use_is_closed(process, resource):
    async with process.running(resource.opened()) as opened:
        assert opened is resource
    assert resource.order == ["task ended", "closed"]


async def test_a_failure_inside_ends_the_tasks_first_too(process, resource):
    with pytest.RaisesGroup(KeyError):
        async with process.running(resource.opened()):
            raise KeyError
    assert resource.order == ["task ended", "closed"]


async def test_tasks_that_were_started_before_the_opening_failed_end(process, resource):
    @asynccontextmanager
    async def fails_later():
        async with resource.opened():
            raise KeyError
            yield

    with pytest.RaisesGroup(KeyError):
        async with process.running(fails_later()):
            pytest.fail("it is not open")
    assert set(resource.order) == {"task ended", "closed"}
    assert process.failure is None


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


def test_a_part_fails_liveness_until_it_has_recovered():
    health = Health()
    health.fail_part("consumer", "the consumer makes no progress")
    assert health.live == (False, "the consumer makes no progress")
    health.recover("consumer")
    assert health.live == (True, "ok")
    health.fail("task b failed")
    health.recover("consumer")
    assert health.live == (False, "task b failed")


async def test_what_is_degraded_is_shown_and_fails_no_probe():
    """A restart would stop what works, and repair nothing."""
    health = Health()
    health.started()
    transport = httpx.ASGITransport(app=Starlette(routes=health_routes(health)))
    async with httpx.AsyncClient(transport=transport, base_url="http://probe") as client:

        async def answers():
            return [
                (answer.status_code, answer.json())
                for answer in [
                    await client.get("/healthz/live"),
                    await client.get("/healthz/ready"),
                ]
            ]

        assert await answers() == [(200, {"status": "ok"})] * 2
        health.degrade("orders/0", "can't be decoded")
        degraded = {"status": "ok", "degraded": {"orders/0": "can't be decoded"}}
        assert await answers() == [(200, degraded)] * 2
        health.recover("orders/0")
        assert await answers() == [(200, {"status": "ok"})] * 2
