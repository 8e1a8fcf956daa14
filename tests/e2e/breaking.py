"""Breaks a running system: what `fault_table` makes its faults from."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx
import psutil

from monitoring.observing import has_data
from slipway.local.system import System
from testkit.waiting import until


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a fault breaks.

    Attributes:
        system: the system.
        prometheus: the address of the Prometheus that watches it.
        product: a product whose stock no run uses up.
    """

    system: System
    prometheus: str
    product: UUID

    async def database(self) -> asyncpg.Connection:
        """Return a connection as superuser."""
        password = self.system.state.passwords(("postgres",))["postgres"]
        url = running(self.system.servers.postgres).url(password=password)
        return await asyncpg.connect(url.rpartition("/")[0] + "/slipway")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        begin: makes it; it ends with the context.
        fires: the alerts that must fire, all of them, and end.
        also: those that may fire too if it lasts, since they have the same cause.
    """

    begin: Callable[[Stage], AbstractAsyncContextManager[None]]
    fires: frozenset[str]
    also: frozenset[str] = frozenset()


def running[S](server: S | None) -> S:
    """Return a server that this system started itself."""
    assert server is not None
    return server


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """Stop a process and its children: it is not gone, and does not respond."""
    process = psutil.Process(pid)
    members = [process, *process.children(recursive=True)]
    for one in members:
        one.suspend()
    try:
        yield
    finally:
        for one in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


def freeze(
    pid: Callable[[System], int | None],
) -> Callable[[Stage], AbstractAsyncContextManager[None]]:
    """Return a fault that freezes the process of this id."""

    @asynccontextmanager
    async def begin(stage: Stage) -> AsyncIterator[None]:
        with frozen(pid(stage.system)):
            yield

    return begin


@asynccontextmanager
async def beside(*works: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run these while the block runs; what one of them raises is raised at its end."""
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one


def kill(system: System, name: str) -> int:
    """Kill a process; return the pid that it had."""
    pid = running(system.process(name).pid)
    os.kill(pid, signal.SIGKILL)
    return pid


async def restarted(stage: Stage, name: str, before: int) -> None:
    """Wait until a process that was killed is ready again, and Prometheus has seen it."""
    process = stage.system.process(name)
    await until(lambda: process.pid not in {None, before}, seconds=60)
    await until(lambda: is_ready(str(process.spec.ready_url)), seconds=120)
    started = psutil.Process(process.pid).create_time()
    query = f'process_start_time_seconds{{job="{name}"}} > {started - 1:.0f}'
    await until(lambda: has_data(stage.prometheus, query), seconds=60)


async def is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            return (await http.get(url)).is_success
    return False
