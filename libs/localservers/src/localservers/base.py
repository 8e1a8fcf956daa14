"""A server as a child process: start, wait, stop, and clean up after a crash.

Each server writes ``<name>.pid.json`` beside its data. If its parent was killed, the next start
kills the server that was left behind.
"""

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from localservers.ports import can_bind, owner

_LEFTOVER_SECONDS = 15.0
_POLL_SECONDS = 0.03
_LOG_LINES = 15


class ServerError(RuntimeError):
    """A server can't start; the text says what failed, where its log is, and what to do."""


class LocalServer(ABC):
    """One server on 127.0.0.1.

    Args:
        directory: holds its data, log and pid file; kept between starts.
        port: where it listens.
        port_setting: the setting that changes the port, for the error if the port is taken.
    """

    name: str
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 15.0

    def __init__(self, *, directory: Path, port: int, port_setting: str | None = None) -> None:
        self.directory = directory.absolute()  # resolve() would block the event loop
        self.port = port
        self._port_setting = port_setting
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Return the process's id, or None if it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    @property
    def log_file(self) -> Path:
        """Return the path of the server's log."""
        return self.directory / f"{self.name}.log"

    @abstractmethod
    async def prepare(self) -> None:
        """Create what the server needs before its first start."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the program and its arguments."""

    @abstractmethod
    async def answers(self) -> bool:
        """Return whether the server is ready; connection errors mean not yet."""

    def environment(self) -> Mapping[str, str]:
        """Return environment variables to add to those of this process."""
        return {}

    async def start(self) -> None:
        """Start the server and return once it is ready.

        Raises:
            ServerError: the port is taken, the directory can't be written to, or the server exited
                or was not ready in time.
        """
        try:
            await self._start()
        except OSError as error:  # a directory is missing, or its disk is full or read-only
            message = (
                f"{self.name} can't be started in {self.directory}: {error}. Check that it is "
                "there, has space, and is writable."
            )
            raise ServerError(message) from error

    async def _start(self) -> None:
        await asyncio.to_thread(self._clear_the_way)
        await self.prepare()
        command = await asyncio.to_thread(self.command)
        log = await asyncio.to_thread(self.log_file.open, "ab")
        with log:
            self._process = process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.directory,
                env={**os.environ, **self.environment()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await asyncio.to_thread(
                write_pid_file, self.directory, self.name, process.pid, self.stop_signal
            )
            await self._until_it_answers(process)
        except BaseException:
            await self.stop()
            raise

    def _clear_the_way(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        kill_leftover(self.directory, self.name)
        self._refuse_taken_port()

    async def _until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self.start_seconds):
                while process.returncode is None:
                    with suppress(OSError, EOFError):
                        if await self.answers():
                            return
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            what = f"did not answer within {self.start_seconds:.0f} s"
        else:
            what = f"ended with status {process.returncode} while starting"
        tail = await asyncio.to_thread(self.log_tail)
        message = f"{self.name} {what}; its log, {self.log_file}, ends:\n{tail}"
        raise ServerError(message)

    async def stop(self) -> None:
        """Stop the server cleanly, or kill it if that takes too long; children end with it."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.stop_seconds)
        await asyncio.to_thread(end_group, process.pid)
        await process.wait()
        self._process = None
        await asyncio.to_thread(pid_file(self.directory, self.name).unlink, missing_ok=True)

    async def wait(self) -> int:
        """Wait for the process to end; return its exit status."""
        if self._process is None:
            message = f"{self.name} was not started. Call start() first."
            raise ServerError(message)
        return await self._process.wait()

    def _refuse_taken_port(self) -> None:
        if can_bind(self.port):
            return
        by = owner(self.port)
        remedy = f"Set {self._port_setting} to another" if self._port_setting else "Free it"
        message = f"The port {self.port} of {self.name} is taken{by and f' by {by}'}. {remedy}."
        raise ServerError(message)

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        with suppress(OSError):
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-_LOG_LINES:])
        return "(no log)"


def pid_file(directory: Path, name: str) -> Path:
    """Return the path of a process's pid file."""
    return directory / f"{name}.pid.json"


def write_pid_file(
    directory: Path, name: str, pid: int, stop_signal: signal.Signals = signal.SIGTERM
) -> None:
    """Record a process's id and start time; an id alone may be reused by another process."""
    with suppress(psutil.Error):
        created = psutil.Process(pid).create_time()
        known = {"pid": pid, "create_time": created, "stop_signal": int(stop_signal)}
        file = pid_file(directory, name)
        # A pid file that is cut short would make the process impossible to find.
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(file)


def leftover(directory: Path, name: str) -> psutil.Process | None:
    """Return the process of the pid file, or None if it has ended."""
    try:
        known = json.loads(pid_file(directory, name).read_text(encoding="utf-8"))
        process = psutil.Process(int(known["pid"]))
        same = abs(process.create_time() - float(known["create_time"])) < 1
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        return None
    return process if same and not _ended(process) else None


def kill_leftover(directory: Path, name: str) -> bool:
    """Kill the process that a killed parent left behind; return whether there was one."""
    process = leftover(directory, name)
    if process is not None:
        _end(process, _stop_signal(directory, name))
    pid_file(directory, name).unlink(missing_ok=True)
    return process is not None


def _stop_signal(directory: Path, name: str) -> int:
    # No SIGTERM: PostgreSQL would wait for its clients, which may be left over as well.
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(pid_file(directory, name).read_text(encoding="utf-8"))
        return int(known["stop_signal"])
    return int(signal.SIGTERM)


def _end(process: psutil.Process, stop_signal: int) -> None:
    with suppress(psutil.Error):
        processes = [process, *process.children(recursive=True)]
        process.send_signal(stop_signal)
        for one in _wait_for(processes):
            with suppress(psutil.Error):
                one.kill()
        _wait_for(processes)


def end_group(pid: int) -> None:
    """Kill what is left of a process group, and return once its processes have ended.

    A process may end before its killed children do: until then they hold their ports and files.

    Args:
        pid: of the process that leads the group; it may have ended.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # none is left; on macOS only zombies are
        return
    _wait_for(_members(pid))


def _members(group: int) -> Sequence[psutil.Process]:
    found: list[psutil.Process] = []
    for one in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(one.pid) == group:
                found.append(one)
    return found


def _wait_for(processes: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    """Wait until the processes have ended; return those that have not."""
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    alive = processes
    while time.monotonic() < deadline:
        alive = [one for one in alive if not _ended(one)]
        if not alive:
            break
        time.sleep(_POLL_SECONDS)  # not our children, so there is nothing to wait on
    return alive


def _ended(process: psutil.Process) -> bool:
    # In a container without an init process no parent reaps an orphan: it stays a zombie.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_to_end(arguments: Sequence[str | Path], *, purpose: str) -> None:
    """Run a program and wait for its successful end.

    Raises:
        ServerError: the program failed; the text has its purpose and its output.
    """
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - the programs are the wheels' own
    if ended.returncode != 0:
        said = (ended.stdout + ended.stderr).strip()
        message = (
            f"Could not {purpose}: exit status {ended.returncode}. The program's output:\n{said}"
        )
        raise ServerError(message)


def package_directory(package: str) -> Path:
    """Return an installed package's folder without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        message = f"The package {package} is missing. Install `localservers` with its dependencies."
        raise ServerError(message)
    return Path(spec.origin).parent
