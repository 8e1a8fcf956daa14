"""CPU and memory of each process of a running system, sampled over time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import linear_regression

import psutil

from bench.machine import cpu_seconds_of_all
from slipway.local.status import memory_pss
from slipway.state import Entry, StateDirectory

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process at one time.

    Attributes:
        at: seconds of the monotonic clock.
        pid: of the process.
        cpu: seconds so far.
        memory: PSS in MiB, children included: each page of shared memory counts once.
    """

    at: float
    pid: int
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The samples of one process, in order of time.

    Attributes:
        name: of the process or server.
        ours: whether it runs this repository's code; Postgres, Kafka and Valkey do not.
        samples: at least one.
    """

    name: str
    ours: bool
    samples: Sequence[Sample]

    @property
    def restarted(self) -> bool:
        """Return whether its pid changed."""
        return any(one.pid != other.pid for one, other in pairwise(self.samples))

    @property
    def cores(self) -> float:
        """Return the CPU seconds per second; 0 if there is only one sample."""
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at - first.at
        return (last.cpu - first.cpu) / seconds if seconds else 0.0

    @property
    def start(self) -> float:
        """Return the memory at the start, in MiB."""
        return self.samples[0].memory

    @property
    def middle(self) -> float:
        """Return the memory half-way, in MiB."""
        return self.samples[len(self.samples) // 2].memory

    @property
    def end(self) -> float:
        """Return the memory at the end, in MiB."""
        return self.samples[-1].memory

    @property
    def peak(self) -> float:
        """Return the most memory in a sample, in MiB."""
        return max(one.memory for one in self.samples)

    @property
    def half(self) -> Sequence[Sample]:
        """Return the samples of the second half of the time."""
        middle = (self.samples[0].at + self.samples[-1].at) / 2
        return [one for one in self.samples if one.at >= middle]

    @property
    def slope(self) -> float:
        """Return the growth of memory in the second half, in MiB an hour, by least squares.

        0 if the half has fewer than two samples.
        """
        half = self.half
        if len(half) < 2:  # noqa: PLR2004 - a line needs two points
            return 0.0
        line = linear_regression([one.at for one in half], [one.memory for one in half])
        return line.slope * 3600


class Sampler:
    """Takes samples of the system in a state directory.

    Args:
        state: the directory, in which a system runs.

    Attributes:
        beside: processes to sample that are not part of the system: their pids, by name.
    """

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._samples: dict[str, list[Sample]] = {}
        self._ours: set[str] = set()
        self.beside: dict[str, int] = {}

    def take(self) -> None:
        """Sample every process and server that runs now."""
        record = self._state.read()
        if record is None:
            return
        self._ours |= {entry.name for entry in record.processes}
        others = [Entry(name=name, pid=pid, address="") for name, pid in self.beside.items()]
        for entry in (*record.processes, *record.servers, *others):
            sample = _sample(entry)
            if sample is not None:
                self._samples.setdefault(entry.name, []).append(sample)

    @property
    def usages(self) -> Mapping[str, Usage]:
        """Return the samples so far, by name."""
        return {
            name: Usage(name=name, ours=name in self._ours, samples=samples)
            for name, samples in self._samples.items()
        }


def _sample(entry: Entry) -> Sample | None:
    """Return a sample; None if the process is gone."""
    if entry.pid is None:
        return None
    try:
        cpu = cpu_seconds_of_all(entry.pid)
    except psutil.Error:
        return None
    memory = memory_pss(entry.pid)
    if memory is None:
        return None
    return Sample(at=time.monotonic(), pid=entry.pid, cpu=cpu, memory=memory / _MEBIBYTE)
