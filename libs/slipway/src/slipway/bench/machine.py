"""Where a measurement was made: the machine, and the versions of what took part."""

import asyncio
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from chassis.servers import ValkeyServer
from slipway.bench.tools import output_of
from slipway.program import Program

_CPU_INFO = Path("/proc/cpuinfo")
_OWN_LOAD = 0.5


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
        """Whether others left the machine alone."""
        return self.busy < _OWN_LOAD

    @classmethod
    def now(cls) -> "Machine":
        """This machine."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            cpu=cpu_model(_CPU_INFO.read_text() if _CPU_INFO.exists() else ""),
            memory=psutil.virtual_memory().total,
            kernel=f"{platform.system()} {platform.release()}",
            busy=os.getloadavg()[0],
        )


def cpu_model(cpu_info: str) -> str:
    """The first model that `/proc/cpuinfo` names."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def cpu_seconds(*programs: Program) -> float:
    """Of CPU that these running programs have taken so far."""
    times = [psutil.Process(program.pid).cpu_times() for program in programs]
    return float(sum(one.user + one.system for one in times))


def python_versions(*packages: str) -> Sequence[tuple[str, str]]:
    """Of Python, and of these packages as they are installed."""
    return [("Python", platform.python_version()), *((name, version(name)) for name in packages)]


async def valkey_version(server: ValkeyServer) -> str:
    """Of the program in the wheel, which says `… v=9.0.1 …`."""
    program, *_ = await asyncio.to_thread(server.command)
    words = (await output_of(program, "--version")).split()
    return next((word[2:] for word in words if word.startswith("v=")), "unknown")
