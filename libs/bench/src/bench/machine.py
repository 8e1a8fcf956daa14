"""The machine of a measurement, and the versions of the programs."""

import asyncio
import os
import platform
import shlex
import sysconfig
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.tools import output_of
from localservers import ValkeyServer
from slipway.errors import SlipwayError
from slipway.local.program import Program

_CPU_INFO = Path("/proc/cpuinfo")
_OWN_LOAD = 0.5
_CPU_CLOCK = 2  # the scheduler's own clock, as the C library composes the id
_MEGABYTE = 1_000_000
_OPTIMIZATIONS = ("--enable-optimizations", "--with-lto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What it is, and how busy it was before.

    Attributes:
        cores: that this process may use.
        cpu: the model.
        memory: in bytes.
        kernel: its release.
        busy: processes that wanted a core, on average over the minute before.
    """

    cores: int
    cpu: str
    memory: int
    kernel: str
    busy: float

    @property
    def was_quiet(self) -> bool:
        """Return whether the machine was otherwise idle."""
        return self.busy < _OWN_LOAD

    @classmethod
    def now(cls) -> "Machine":
        """Return a description of this machine."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            cpu=cpu_model(_CPU_INFO.read_text() if _CPU_INFO.exists() else ""),
            memory=psutil.virtual_memory().total,
            kernel=f"{platform.system()} {platform.release()}",
            busy=os.getloadavg()[0],
        )


@dataclass(frozen=True, slots=True)
class Others:
    """The CPU share of other processes since this was created: a measurement's noise."""

    machine: float
    ours: float
    at: float

    @classmethod
    def since_now(cls) -> "Others":
        """Start measuring."""
        return cls(*_taken(), time.monotonic())

    def share(self) -> float:
        """Return the share of all cores' time; the host's other guests count as well."""
        machine, ours = _taken()
        cores = os.cpu_count() or 1
        others = (machine - self.machine) - (ours - self.ours)
        return max(0.0, others / ((time.monotonic() - self.at) * cores))


def _taken() -> tuple[float, float]:
    """Return the CPU seconds of all processes, and those of this one with its children."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # `user` includes the time of guests.
    return sum(times[:8]) - idle, cpu_seconds_of_all(os.getpid())


def cpu_model(cpu_info: str) -> str:
    """Return the first CPU model in `/proc/cpuinfo`."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def cpu_seconds(*programs: Program) -> float:
    """Return the CPU seconds that these programs and their children have used so far.

    Raises:
        SlipwayError: one of them has exited.
    """
    return sum(cpu_seconds_of_all(pid_of(program)) for program in programs)


def pss_megabytes(program: Program) -> float:
    """Return the memory of a program (its proportional share, PSS) in MB, or raise SlipwayError."""
    return float(psutil.Process(pid_of(program)).memory_full_info().pss / _MEGABYTE)


def pid_of(program: Program) -> int:
    """Return the process id of a running program, or raise SlipwayError."""
    if program.pid is None:
        message = f"{program.name} has exited during the measurement. See {program.log_file}."
        raise SlipwayError(message)
    return program.pid


def cpu_seconds_of_all(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants so far.

    That of a process comes from its clock (clock_getcpuclockid(3)), in nanoseconds. `/proc` counts
    in hundredths of a second, in which a short round may take nothing.
    """
    taken = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, OSError):  # it has ended, and its parent counts it
            ended = process.cpu_times()
            taken += time.clock_gettime(~process.pid << 3 | _CPU_CLOCK)
            taken += ended.children_user + ended.children_system
    return taken


def python_versions(*packages: str) -> Sequence[tuple[str, str]]:
    """Return the versions of Python, with how it was configured, and of these packages."""
    configured = " ".join(optimizations()) or "no optimizations configured"
    python = f"{platform.python_version()} ({configured})"
    return [("Python", python), *((name, version(name)) for name in packages)]


def optimizations(
    configured: str | None = sysconfig.get_config_var("CONFIG_ARGS"),
) -> Sequence[str]:
    """Return which optimizations of the official images the interpreter was configured with.

    Args:
        configured: the arguments of CPython's `configure`, each in quotes; None if they are not
            known.
    """
    options = {one.partition("=")[0] for one in shlex.split(configured or "")}
    return [one for one in _OPTIMIZATIONS if one in options]


async def valkey_version(server: ValkeyServer) -> str:
    """Return the version of the wheel's program, which prints `… v=9.0.1 …`."""
    program, *_ = await asyncio.to_thread(server.command)
    words = (await output_of(program, "--version")).split()
    return next((word[2:] for word in words if word.startswith("v=")), "unknown")
