"""A service for tests, run as a real process. Its one argument says how it misbehaves."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from fastapi import Request

from chassis.http import Router, Shape, create_app
from chassis.process import Process, run_api
from chassis.settings import ProcessSettings, load

log = structlog.get_logger("probe")
router = Router()


class Size(Shape):
    size: int


@router.post("/size")
async def size(request: Request) -> Size:
    return Size(size=len(await request.body()))


@router.post("/fail")
async def fail(request: Request) -> Size:
    request.app.state.fail.set()
    return Size(size=0)


@router.post("/load")
async def load_part(request: Request) -> Size:
    request.app.state.process.health.loaded("the catalogue")
    return Size(size=0)


@asynccontextmanager
async def part(name: str) -> AsyncIterator[None]:
    log.info("opened", part=name)
    try:
        yield
    finally:
        log.info("closed", part=name)


async def work(fail: asyncio.Event) -> None:
    await fail.wait()
    message = "the work broke"
    raise RuntimeError(message)


async def long_work() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        log.info("closed", part="long work")


@asynccontextmanager
async def opened(process: Process) -> AsyncIterator[Mapping[str, Any]]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(part("first"))
        process.start(long_work(), name="long work")
        if sys.argv[1] == "slow-start":
            await asyncio.Event().wait()
        if sys.argv[1] == "bad-start":
            await asyncio.sleep(0)  # the long work begins
            message = "the second part is away"
            raise ConnectionError(message)
        await stack.enter_async_context(part("second"))
        event = asyncio.Event()
        process.start(work(event), name="work")
        if sys.argv[1] == "waits":
            process.health.expect("the catalogue")
        yield {"fail": event}


def main() -> None:
    process = Process(name="probe", settings=load(ProcessSettings))
    app = create_app(
        title="Probe", description="x", process=process, routers=[router], open_resources=opened
    )
    run_api(process, app)


if __name__ == "__main__":
    main()
