"""The tests' service and its relay as real processes, and events that come all the while."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from .counting import SERVICE


def worker_environment(service, tokens, *, session_seconds):
    """What a worker of the tests' service is told."""
    return {
        **os.environ,
        "ENVIRONMENT": "development",
        "DATABASE_URL": service.urls.runtime_url,
        "KAFKA_BOOTSTRAP_SERVERS": service.topics.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": service.topics.prefix,
        "KAFKA_SESSION_TIMEOUT": f"{session_seconds}",
        "AUTH_JWKS_FILE": str(tokens.jwks_file),
        "INTERNAL_PORT": "0",
    }


@asynccontextmanager
async def worker_process(environment, log):
    """A worker in a process of its own."""
    async with _process("counting.py", env=environment, output=log) as process:
        yield process


@asynccontextmanager
async def relay_process(service):
    """A relay in a process of its own."""
    arguments = (
        SERVICE,
        service.urls.runtime_url,
        service.topics.bootstrap_servers,
        service.topics.prefix,
    )
    output = asyncio.subprocess.DEVNULL
    async with _process("relay_process.py", *arguments, output=output) as process:
        yield process


@asynccontextmanager
async def _process(script, *arguments, output, env=None):
    """A script beside this file, killed with SIGKILL at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).with_name(script),
        *arguments,
        env=env,
        stdout=output,
        stderr=output,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def events_all_the_while(service, names):
    """Raise counters for as long as the block takes."""
    leave = asyncio.Event()

    async def go_on(some):
        while not leave.is_set():
            await service.raise_counters(*some)

    async with asyncio.TaskGroup() as group:
        for some in (names[::2], names[1::2]):
            group.create_task(go_on(some))
        try:
            yield
        finally:
            leave.set()
