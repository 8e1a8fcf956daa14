"""One child process: starts in its own session, becomes ready, and is never left behind."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process, create_subprocess_exec
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from urllib.parse import urlsplit

from chassis.loopback import loopback_exempted
from localservers.base import end_group, kill_leftover, pid_file, write_pid_file
from localservers.ports import listens_at
from slipway.errors import StartError
from slipway.local.forks import Fork, Template
from slipway.local.logtail import tail
from slipway.local.probe import probe
from slipway.state import StateDirectory

READY_SECONDS = 120.0  # a process that exits is reported at once; this is for a busy machine
"""What a program has to become ready, unless its spec says otherwise."""

_LOG_LIMIT = 20 * 1024 * 1024
_POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class ProgramSpec:
    """What to run, and how to check that it is ready.

    Attributes:
        name: names its log and its pid file.
        command: the program and its arguments.
        environment: the whole environment; nothing is inherited.
        directory: where it runs.
        address: its address, for people.
        ready_url: returns 200 once it is ready; without it, a running process counts as ready.
        ready_limit: seconds that it has to become ready.
        stop_limit: seconds that it has to end after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    address: str = ""
    ready_url: str | None = None
    ready_limit: float = READY_SECONDS
    stop_limit: float = 12.0


def inherited_environment() -> dict[str, str]:
    """Return this process's environment for a child; NO_PROXY names this machine as well."""
    return {**os.environ, **loopback_exempted(os.environ)}


class Program:
    """Runs one spec; can be restarted after it ended.

    Args:
        spec: what to run.
        state: where its log and its pid file go.
        say: called with sentences for the user.
        template: is forked for the first start. Later starts run a new interpreter, which loads the
            source as it is by then.
    """

    def __init__(
        self,
        spec: ProgramSpec,
        *,
        state: StateDirectory,
        say: Callable[[str], None],
        template: Template | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.log_file = state.logs / f"{spec.name}.log"
        self._run = state.run
        self._say = say
        self._template = template
        self._process: Process | Fork | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the running process, or None."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and return once it is ready, or raise StartError with the reason."""
        try:
            await self._start()
        except OSError as error:  # a directory is missing, or its disk is full or read-only
            message = (
                f"{self.name} can't be started: {error}. Check that {self._run.parent} is there, "
                "has space, and is writable."
            )
            raise StartError(message) from error

    async def _start(self) -> None:
        await asyncio.to_thread(kill_leftover, self._run, self.name)
        self._process = process = await self._fork() or await self._execute()
        try:
            await asyncio.to_thread(write_pid_file, self._run, self.name, process.pid)
            await self._until_ready(process)
        except BaseException:
            await self.stop()
            raise

    async def _fork(self) -> Fork | None:
        template, self._template = self._template, None
        if template is None:
            return None
        await asyncio.to_thread(self._rotate_log)
        return await template.fork(self.spec, self.log_file)

    async def _execute(self) -> Process:
        log = await asyncio.to_thread(self._open_log)
        with log:
            return await create_subprocess_exec(
                *self.spec.command,
                cwd=self.spec.directory,
                env=dict(self.spec.environment),
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for the process to end; return its exit status, negative for a signal."""
        return await self._running().wait()

    async def stop(self) -> None:
        """Stop the process and its children: SIGTERM, then SIGKILL after the limit."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.spec.stop_limit):
                    await process.wait()
            except TimeoutError:
                self._say(
                    f"{self.name} (pid {process.pid}) did not stop within "
                    f"{self.spec.stop_limit:g} s of SIGTERM: killing it with SIGKILL"
                )
        self.kill()
        await process.wait()
        await asyncio.to_thread(end_group, process.pid)
        self._process = None  # from now on, the id may be that of an unrelated process
        await asyncio.to_thread(pid_file(self._run, self.name).unlink, missing_ok=True)

    def kill(self) -> None:
        """Send SIGKILL to the process and to the rest of its process group."""
        if self._process is not None:
            # The children of an ended process are still in its group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _running(self) -> Process | Fork:
        if self._process is None:
            message = f"{self.name} was never started. Call start() first."
            raise RuntimeError(message)
        return self._process

    def _open_log(self) -> BufferedWriter:
        self._rotate_log()
        return self.log_file.open("ab")

    def _rotate_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    async def _until_ready(self, process: Process | Fork) -> None:
        if self.spec.ready_url is None:
            return
        missing = "no answer"
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(self.spec.ready_limit):
                while not ended.done():
                    missing = await self._why_not_ready(process, self.spec.ready_url)
                    if not missing:
                        return
                    await asyncio.wait([ended], timeout=_POLL_SECONDS)
        except TimeoutError as error:
            reason = f"was not ready within {self.spec.ready_limit:g} s ({missing})"
            raise self._error(reason) from error
        finally:
            ended.cancel()
        reason = f"ended before it was ready, with {describe(ended.result())}"
        raise self._error(reason)

    async def _why_not_ready(self, process: Process | Fork, url: str) -> str:
        """Return why the process isn't ready yet; empty once it is."""
        answer = await probe(url)
        if not answer.well:
            return answer.text
        # Another process may hold the port; this one then ends soon, because it can't bind it.
        port = urlsplit(url).port or 80
        own = await asyncio.to_thread(listens_at, process.pid, port)
        return "" if own else f"another process listens at {url}: stop it, or set another port"

    def _error(self, reason: str) -> StartError:
        return StartError(
            f"{self.name} {reason}. Its log, {self.log_file}, ends:\n{tail(self.log_file)}"
        )


async def end_leftovers(state: StateDirectory, say: Callable[[str], None]) -> None:
    """End the programs that a killed supervisor left running."""
    left = await asyncio.to_thread(lambda: sorted(state.run.glob(pid_file(state.run, "*").name)))
    if left:
        names = [path.name.partition(".")[0] for path in left]
        say(f"Ending what the last run left: {', '.join(names)}")
        await asyncio.gather(*(asyncio.to_thread(kill_leftover, state.run, n) for n in names))


def describe(status: int) -> str:
    """Return an exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"
