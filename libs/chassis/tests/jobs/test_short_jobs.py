"""A slot whose jobs are usually short leases its next job while one runs."""

import asyncio
import contextlib
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from chassis.jobs.execution import Execution
from chassis.jobs.lanes import Lane, LaneOptions
from chassis.jobs.leases import LeasedJob, Leases
from chassis.jobs.metrics import JobMetrics

SLOTS = 4
LEASE = UUID(int=1)


class Queue(Leases):
    """Has jobs without end, and says how many were leased."""

    def __init__(self) -> None:  # it needs no connection
        self.leased = 0

    async def lease(self, queue: str, limit: int, *, durable: bool = True) -> list[LeasedJob]:
        del queue, durable
        await asyncio.sleep(0)
        first, self.leased = self.leased, self.leased + limit
        return [job(number) for number in range(first, self.leased)]


class Handlers(Execution[None]):
    """Run jobs at once until `number` were run, and then until `released`."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.waiting = 0
        self.changed = asyncio.Event()
        self.released = asyncio.Event()

    async def run(self, jobs: object, *, on_commit: object = None) -> None:
        del jobs, on_commit
        self._left -= 1
        if self._left < 0:
            self.waiting += 1
            self.changed.set()
            await self.released.wait()


def job(number: int) -> LeasedJob:
    return LeasedJob(
        id=number,
        kind="short.v1",
        arguments="{}",
        attempts=1,
        traceparent=None,
        waited=0.0,
        undeclared=None,
        lease=LEASE,
    )


@pytest.fixture(autouse=True)
def _no_pause_between_leases(monkeypatch):
    monkeypatch.setattr("chassis.jobs.lanes._GATHER_SECONDS", 0.0)


@contextlib.asynccontextmanager
async def running(handlers: Handlers, *, inside: bool):
    queue = Queue()
    options = LaneOptions(queue="default", slots=SLOTS, batch=1, poll_seconds=60, inside=inside)
    metrics = JobMetrics(CollectorRegistry(), kinds=["short.v1"], queues=["default"])
    lane = Lane(options=options, execution=handlers, metrics=metrics)
    task = asyncio.create_task(lane.run(queue))
    try:
        yield queue, lane
    finally:
        task.cancel()
        await asyncio.wait([task])
        await lane.finish(0)


async def until_all_wait(handlers: Handlers) -> None:
    while handlers.waiting < SLOTS:
        handlers.changed.clear()
        await handlers.changed.wait()


@pytest.mark.parametrize(
    ("before", "inside", "ahead"),
    [
        pytest.param(0, True, 0, id="nothing is known of them"),
        pytest.param(200, True, SLOTS, id="short ones"),
        pytest.param(200, False, 0, id="short ones outside a transaction"),
    ],
)
async def test_no_more_is_leased_ahead_than_there_are_slots(before, inside, ahead):
    handlers = Handlers(before)
    async with running(handlers, inside=inside) as (queue, lane):
        await until_all_wait(handlers)
        for _ in range(100):  # it would lease more, if it may
            await asyncio.sleep(0)
        assert queue.leased == before + SLOTS + ahead
        assert len(lane.held) == SLOTS + ahead


async def test_once_they_take_long_nothing_is_leased_ahead(monkeypatch):
    monkeypatch.setattr("chassis.jobs.lanes._SHORT_SECONDS", 0.0)
    handlers = Handlers(200)
    async with running(handlers, inside=True) as (queue, _):
        await until_all_wait(handlers)
        assert queue.leased == 200 + SLOTS
