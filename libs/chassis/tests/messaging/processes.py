"""The tests' service and its relay as real processes, and events while they run."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from .counting import SERVICE


def worker_environment(service, tokens, *, session_seconds):
    """Return the environment of a worker of the tests' service."""
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
    """Run a worker in a separate process."""
    async with _process("counting.py", env=environment, output=log) as process:
        yield process


@asynccontextmanager
async def relay_process(service):
    """Run a relay in a separate process."""
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
    """Run a script of this folder; if it still runs at the end of the block, SIGKILL it."""
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
    """Raise counters for as long as the block runs."""
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
