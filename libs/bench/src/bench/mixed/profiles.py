"""Profiles of one process under load: memory with memray, CPU time with py-spy."""

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path

from bench.tools import output_of
from slipway.errors import SlipwayError
from slipway.local.processes import PROCESSES

_BIN = Path(".slipway/tools/profile/bin")
_BY_OWN = "--sort-column=3"  # the memory that a function allocated itself
_RATE = 200  # samples per second
_PTRACE = Path("/proc/sys/kernel/yama/ptrace_scope")


def known_process(name: str) -> str:
    """Return the name; raise SlipwayError if no process of the system has it."""
    names = [row.name for row in PROCESSES]
    if name not in names:
        message = f"There is no process {name!r}. Set PROCESS to one of: {', '.join(names)}."
        raise SlipwayError(message)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """The memory of one process: which lines allocated what it held at its peak, and at its end.

    Attributes:
        process: its name.
        directory: where the files are written.
    """

    process: str
    directory: Path

    @property
    def _capture(self) -> Path:
        return self.directory / f"{self.process}-memory.bin"

    @property
    def interpreter(self) -> tuple[str, ...]:
        """Return what runs the process in place of Python; it writes the capture when it ends.

        The capture has one entry for each place of the code. With one for each allocation it would
        have gigabytes after a minute, and take many minutes to read.
        """
        python = str(Path.cwd() / _BIN / "python")
        run = ("-m", "memray", "run", "--aggregate", "--quiet", "--force")
        return (python, *run, "-o", str(self._capture))

    async def write(self) -> tuple[Path, ...]:
        """Turn the capture of the ended process into pages and a text; return their paths.

        Raises:
            SlipwayError: the process wrote no capture, e.g. because it was killed.
        """
        memray = Path.cwd() / _BIN / "memray"
        peak = self.directory / f"{self.process}-memory.html"
        leaks = self.directory / f"{self.process}-memory-at-end.html"
        text = self.directory / f"{self.process}-memory.txt"
        await output_of(memray, "flamegraph", "--force", "-o", peak, self._capture)
        await output_of(memray, "flamegraph", "--force", "--leaks", "-o", leaks, self._capture)
        summary = await output_of(
            memray, "summary", _BY_OWN, self._capture, environment={**os.environ, "COLUMNS": "180"}
        )
        await asyncio.to_thread(text.write_text, summary, encoding="utf-8")
        await asyncio.to_thread(self._capture.unlink)
        return peak, leaks, text


async def record_cpu(pid: int, path: Path, *, seconds: float) -> None:
    """Write a flame graph (SVG) of where a process spends its CPU time.

    Args:
        pid: of the process.
        path: of the SVG.
        seconds: how long it is sampled.

    Raises:
        SlipwayError: py-spy may not read the process.
    """
    command = (
        *(str(Path.cwd() / _BIN / "py-spy"), "record", f"--pid={pid}", f"--output={path}"),
        *(f"--duration={round(seconds)}", f"--rate={_RATE}", "--threads", "--nonblocking"),
    )
    recording = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    try:
        output, _ = await recording.communicate()
    finally:
        if recording.returncode is None:
            recording.kill()
            await recording.wait()
    if recording.returncode:
        hint = await asyncio.to_thread(_hint)
        message = f"py-spy failed.{hint} Its output:\n{output.decode(errors='replace')}"
        raise SlipwayError(message)


def _hint() -> str:
    """Return what to do if the kernel lets a process read only its children."""
    if _PTRACE.exists() and _PTRACE.read_text().strip() != "0":
        return " Allow it to read processes: sudo sysctl kernel.yama.ptrace_scope=0."
    return ""
