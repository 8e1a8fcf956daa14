"""The probe service as a child process, and its log."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from localservers.ports import free_port

LIMIT = 30  # seconds, for each thing that a child should do


class Probe:
    """One child process; ``lines`` are its log lines, in the order in which they arrive."""

    def __init__(self, mode: str, environment: dict[str, str]) -> None:
        self.port, self.internal_port = free_port(), free_port()
        self.public = f"http://127.0.0.1:{self.port}"
        self.internal = f"http://127.0.0.1:{self.internal_port}"
        self.lines: list[dict[str, Any]] = []
        self._mode = mode
        self._environment = {
            **os.environ,
            "ENVIRONMENT": "development",
            "PORT": str(self.port),
            "INTERNAL_PORT": str(self.internal_port),
            "SETTINGS_FILE": "",
            **environment,
        }
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("probe_service.py")),
            self._mode,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = json.loads(raw) if raw.startswith(b"{") else {"event": raw.decode()}
            async with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    async def log_line(self, event: str) -> dict[str, Any]:
        """Wait for a line that begins with `event`."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.lines if line["event"].startswith(event)), None)

        async with asyncio.timeout(LIMIT), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        line = found()
        assert line is not None
        return line

    async def listening(self) -> None:
        """Wait until both ports are open."""
        async with asyncio.timeout(LIMIT):
            for port in (self.port, self.internal_port):
                while self.process.returncode is None:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.02)
                    else:
                        writer.close()
                        break
        assert self.process.returncode is None, self.lines

    async def status(self) -> int:
        """Wait until the process and its log have ended; return the exit status."""
        async with asyncio.timeout(LIMIT):
            await asyncio.shield(self._reading)
            return await self.process.wait()

    def stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Send SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
        await self.status()

    def parts(self) -> list[tuple[str, str]]:
        """Return what was opened and closed, in order."""
        return [(line["event"], line["part"]) for line in self.lines if "part" in line]


type StartProbe = Callable[..., Awaitable[Probe]]


@pytest.fixture
async def start_probe() -> AsyncIterator[StartProbe]:
    started: list[Probe] = []

    async def start(mode: str, *, port: int | None = None, **environment: str) -> Probe:
        probe = Probe(mode, environment)
        if port is not None:
            probe._environment["INTERNAL_PORT"] = str(port)
        await probe.start()
        started.append(probe)
        return probe

    yield start
    for probe in started:
        await probe.kill()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client
