"""Worker processes that faults may kill, and that are started again as an orchestrator would."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

_SCRIPT = Path(__file__).with_name("services.py")
_STOP_SECONDS = 30.0


class Worker:
    """One worker, through all its deaths.

    Args:
        service: whose.
        name: of this one among its like.
        environment: of the process.
        logs: the folder of the log, which holds what all its processes say.
        seed: of what its handler does by chance.

    Attributes:
        complaints: how it ended by itself, which it must not.
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
            return await asyncio.create_subprocess_exec(
                sys.executable,
                _SCRIPT,
                self.service,
                self.name,
                seed,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one now."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """Stop it in order; it must end with status 0, and in time."""
        process = self._process
        self._ordered = True
        if process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self.complaints.append(f"{self.name} did not stop within {_STOP_SECONDS:.0f} s")
            return
        if status != 0:
            self.complaints.append(f"{self.name} was told to stop, and ended with status {status}")
