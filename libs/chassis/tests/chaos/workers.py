"""Worker processes that faults may kill, and that are restarted as an orchestrator would do it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from .services import BEGUN

_PACKAGE = __package__ or ""
_ROOT = Path(__file__).parents[len(_PACKAGE.split("."))]
_STOP_SECONDS = 30.0


class Worker:
    """One worker, which outlives its processes.

    Args:
        service: the service that it runs.
        name: distinguishes it from the other workers of the service.
        environment: of its processes.
        logs: the folder of the log, which holds the output of all its processes.
        seed: for the random decisions of its handler.

    Attributes:
        complaints: how processes ended without a fault, which must not happen.
    """

    def __init__(
        self, *, service: str, name: str, environment: Mapping[str, str], logs: Path, seed: str
    ) -> None:
        self.service = service
        self.name = name
        self.complaints: list[str] = []
        self._environment = environment
        self._log = logs / f"{name}.log"
        self._seed = seed
        self._starts = 0
        self._logged_before = 0
        self._ordered = False
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it running during the block, and kill it if it was not stopped."""
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self._ordered = True
            self.signal(signal.SIGKILL)
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep(self) -> None:
        while not self._ordered:
            process = self._process = await self._start()
            try:
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if status != -signal.SIGKILL and not self._ordered:
                self.complaints.append(f"{self.name} ended by itself with status {status}")

    async def _start(self) -> asyncio.subprocess.Process:
        self._starts += 1
        seed = f"{self._seed}:{self.name}:{self._starts}"
        log = await asyncio.to_thread(self._log.open, "ab")
        with log:
            self._logged_before = log.seek(0, os.SEEK_END)
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"{_PACKAGE}.services",
                self.service,
                self.name,
                seed,
                env={**os.environ, **self._environment, "PYTHONPATH": str(_ROOT)},
                stdout=log,
                stderr=log,
            )

    async def _begun(self) -> None:
        """Wait until the process handles SIGTERM: Python starts with the default action."""
        while self._process is not None and self._process.returncode is None:
            log = await asyncio.to_thread(self._log.read_bytes)
            if BEGUN.encode() in log[self._logged_before :]:
                return
            await asyncio.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if one is running."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """Stop it with SIGTERM. It must exit with status 0, in time."""
        process = self._process
        self._ordered = True
        if process is None:
            return
        await self._begun()
        self.signal(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self.complaints.append(f"{self.name} did not stop within {_STOP_SECONDS:.0f} s")
            return
        if status != 0:
            self.complaints.append(f"{self.name} got SIGTERM, and ended with status {status}")
