"""Starts programs as forks of one interpreter: the supervisor's side of `slipway.local.template`.

The imports of a process take most of the time of its start, and the processes share most of them.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chassis.cancellation import result_of

if TYPE_CHECKING:
    from slipway.local.program import ProgramSpec

_GO = b"\n"
_KILLED = -int(signal.SIGKILL)
_RUN_MODULE = (sys.executable, "-m")


class Fork:
    """A process that the template forked, with the part of asyncio's Process that programs use.

    Attributes:
        pid: of the process; it leads its session.
        returncode: its exit status once it has ended, negative for a signal.

    Args:
        pid: likewise.
        reader: receives the exit status.
        writer: of the same connection.
    """

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._end(reader, writer))

    async def wait(self) -> int:
        """Wait for the process to end; return its exit status."""
        return await result_of(self._ended)

    def terminate(self) -> None:
        """Send SIGTERM; raises ProcessLookupError if the process has ended."""
        os.kill(self.pid, signal.SIGTERM)

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        line = b""
        with suppress(OSError):
            line = await reader.readline()
        writer.close()
        _, _, status = line.partition(b" ")
        if not status:
            # The template has ended. Nobody else gets the exit status of its children, so that a
            # process of unknown state could stay.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.returncode = int(status or _KILLED)
        return self.returncode


class Template:
    """The interpreter that is forked; `running_template` starts and ends one.

    Args:
        control: is received by the interpreter.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    async def fork(self, spec: "ProgramSpec", log: Path) -> Fork | None:
        """Run a program in a fork; return None if it runs no module of this Python, or can't be.

        Args:
            spec: what to run.
            log: the file that its output is appended to.
        """
        if spec.command[:2] != _RUN_MODULE:
            return None
        request = {
            "name": spec.name,
            "module": spec.command[2:],
            "environment": dict(spec.environment),
            "directory": str(spec.directory),
            "log": str(log),
        }
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        began = b""
        try:
            with suppress(OSError):  # the template has ended
                with theirs:
                    socket.send_fds(self._control, [b"+"], [theirs.fileno()])
                writer.write(json.dumps(request).encode() + b"\n")
                began = await reader.readline()
        finally:
            word, _, pid = began.partition(b" ")
            if word != b"began":
                writer.close()  # a fork that nobody here knows ends by this
        if word != b"began":
            return None
        writer.write(_GO)
        return Fork(int(pid), reader, writer)


@contextmanager
def running_template() -> Iterator[Template | None]:
    """Run a template for the time of the block.

    There is none on macOS, whose system libraries do not support a fork without exec.
    """
    if sys.platform != "linux":
        yield None
        return
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [*_RUN_MODULE, "slipway.local.template"],
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        try:
            yield Template(ours)
        finally:
            process.terminate()
            process.wait()
