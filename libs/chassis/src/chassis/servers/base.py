"""A server as a child process: started, waited for, stopped, and found again after a crash.

Each server writes ``<name>.pid.json`` beside its data, so that one whose parent was killed is ended
by the next start.
"""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psutil

_LEFTOVER_SECONDS = 15.0
_POLL_SECONDS = 0.03
_LOG_LINES = 15


class ServerError(RuntimeError):
    """A server that can't start; the text says what failed, where its log is, what to do."""


class LocalServer(ABC):
    """One server on 127.0.0.1.

    Args:
        directory: holds its data, log and pid file; kept between starts.
        port: where it listens.
        port_setting: the setting that moves the port, for the message when it is taken.
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
        """The process's id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    @property
    def log_file(self) -> Path:
        """Where the server writes what it has to say."""
        return self.directory / f"{self.name}.log"

    @abstractmethod
    async def prepare(self) -> None:
        """Make what the server needs before its first start."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Give the program and its arguments."""

    @abstractmethod
    async def answers(self) -> bool:
        """Say whether the server does its work; errors of connection mean not yet."""

    def environment(self) -> Mapping[str, str]:
        """Give variables beside those of this process."""
        return {}

    async def start(self) -> None:
        """Start the server and return once it answers.

        Raises:
            ServerError: the port is taken, or the server ended or did not answer in time.
        """
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
        """Stop the server in order, or kill it when that takes too long."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.stop_seconds)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        self._process = None
        await asyncio.to_thread(pid_file(self.directory, self.name).unlink, missing_ok=True)

    async def wait(self) -> int:
        """Wait for the process to end; answers its exit status."""
        if self._process is None:
            message = f"{self.name} was not started"
            raise ServerError(message)
        return await self._process.wait()

    def _refuse_taken_port(self) -> None:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                remedy = f"set {self._port_setting} to move it" if self._port_setting else "free it"
                message = f"port {self.port} of {self.name} is taken{_owner(self.port)}: {remedy}"
                raise ServerError(message) from error

    def log_tail(self) -> str:
        """Give the last lines of the log."""
        with suppress(OSError):
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-_LOG_LINES:])
        return "(no log)"


def _owner(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def pid_file(directory: Path, name: str) -> Path:
    """Name the file that remembers a process."""
    return directory / f"{name}.pid.json"


def write_pid_file(
    directory: Path, name: str, pid: int, stop_signal: signal.Signals = signal.SIGTERM
) -> None:
    """Remember a process by its id and start time, for ids alone are used again."""
    with suppress(psutil.Error):
        created = psutil.Process(pid).create_time()
        known = {"pid": pid, "create_time": created, "stop_signal": int(stop_signal)}
        file = pid_file(directory, name)
        # Half a file would be a process that nobody finds again.
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(file)


def leftover(directory: Path, name: str) -> psutil.Process | None:
    """Find the process that the pid file remembers; None when it has ended."""
    try:
        known = json.loads(pid_file(directory, name).read_text(encoding="utf-8"))
        process = psutil.Process(int(known["pid"]))
        same = abs(process.create_time() - float(known["create_time"])) < 1
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        return None
    return process if same and not _ended(process) else None


def kill_leftover(directory: Path, name: str) -> bool:
    """End the process that a killed parent left behind, and no other; says if there was one."""
    process = leftover(directory, name)
    if process is not None:
        _end(process, _stop_signal(directory, name))
    pid_file(directory, name).unlink(missing_ok=True)
    return process is not None


def _stop_signal(directory: Path, name: str) -> int:
    # SIGTERM is not for all: PostgreSQL then waits for its clients, who may be left over as well.
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


def _wait_for(processes: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    """Wait until they have ended; gives those that have not."""
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    alive = processes
    while time.monotonic() < deadline:
        alive = [one for one in alive if not _ended(one)]
        if not alive:
            break
        time.sleep(_POLL_SECONDS)  # their parent is gone: nobody here is told of their end
    return alive


def _ended(process: psutil.Process) -> bool:
    # In a container without an init process nobody collects an orphan: it stays as a zombie.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_to_end(arguments: Sequence[str | Path], *, purpose: str) -> None:
    """Run a program that prepares something.

    Raises:
        ServerError: it failed; the text says for what it was, and what it said.
    """
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - the programs are the wheels' own
    if ended.returncode != 0:
        said = (ended.stdout + ended.stderr).strip()
        message = f"could not {purpose} (status {ended.returncode}); the program said:\n{said}"
        raise ServerError(message)


def package_directory(package: str) -> Path:
    """Find an installed package's folder without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        message = f"the package {package} is not installed: install `chassis[servers]`"
        raise ServerError(message)
    return Path(spec.origin).parent


def free_port() -> int:
    """Find a port that is free now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
