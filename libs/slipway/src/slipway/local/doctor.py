"""Check this machine for what commonly keeps `slipway up` from working."""

import resource
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from localservers.base import leftover
from slipway.checks import Check, Grade
from slipway.local.ports import port_names, taken_ports
from slipway.local.status import OK, Status
from slipway.settings import SECOND_SYSTEM, SlipwaySettings

_PYTHON = (3, 12)
_DISK_BYTES = 2 * 1024**3
_MEMORY_BYTES = 2 * 1024**3
_FILES = 1024
_PID_FILE = ".pid.json"
_GIBIBYTE = 1024**3


def machine_checks(settings: SlipwaySettings, state: Path, status: Status) -> Iterator[Check]:
    """Yield the checks of the machine, and of the system that runs on it.

    Args:
        settings: the settings of `slipway up`.
        state: its state directory.
        status: what runs.
    """
    yield _python(sys.version_info[:2])
    yield _enough("free disk", _free_disk(state), _DISK_BYTES, "Free some, or move the state")
    yield _enough(
        "available memory", psutil.virtual_memory().available, _MEMORY_BYTES, "End other programs"
    )
    yield _open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield _leftovers(state, status)
    yield from _running(status, state) if status.state != "stopped" else _ports(settings)


def _python(version: Iterable[int]) -> Check:
    found = ".".join(map(str, version))
    if tuple(version) >= _PYTHON:
        return Check("Python", Grade.OK, found)
    return Check("Python", Grade.FAULT, found, "Install Python 3.12 or later, and `make install`.")


def _enough(name: str, found: int, needed: int, mend: str) -> Check:
    text = f"{found / _GIBIBYTE:.1f} GiB"
    if found >= needed:
        return Check(name, Grade.OK, text)
    more = f"{mend}: the system needs {needed / _GIBIBYTE:.0f} GiB."
    return Check(name, Grade.WARNING, text, more)


def _free_disk(path: Path) -> int:
    there = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(there).free


def _open_files(limit: int) -> Check:
    if limit == resource.RLIM_INFINITY or limit >= _FILES:
        return Check("open files", Grade.OK, "unlimited" if limit < 0 else str(limit))
    mend = f"Raise the limit in the shell: `ulimit -n {_FILES}`. Each connection takes a file."
    return Check("open files", Grade.WARNING, str(limit), mend)


def _leftovers(state: Path, status: Status) -> Check:
    """Return the check for processes that outlived the system which started them."""
    if status.state != "stopped":
        return Check("leftovers", Grade.OK, "a system runs")
    files = [*(state / "run").glob(f"*{_PID_FILE}"), *(state / "servers").glob(f"*/*{_PID_FILE}")]
    names = {file.name.removesuffix(_PID_FILE): file.parent for file in files}
    alive = sorted(name for name, place in names.items() if leftover(place, name) is not None)
    if not alive:
        return Check("leftovers", Grade.OK, "none of an earlier run")
    mend = "`slipway up` ends them before it starts its own."
    return Check("leftovers", Grade.WARNING, f"still run: {', '.join(alive)}", mend)


def _running(status: Status, state: Path) -> Iterator[Check]:
    logs = {row.name: state / "servers" / row.name for row in status.servers}
    for row in [*status.servers, *status.processes]:
        if row.health == OK:
            yield Check(row.name, Grade.OK, row.address)
        elif row.pid is None and status.state == "starting":
            mend = "Wait until `slipway up` says that it is ready, then check again."
            yield Check(row.name, Grade.WARNING, "not started yet", mend)
        else:
            mend = f"See its log: {logs.get(row.name, state / 'logs') / row.name}.log"
            yield Check(row.name, Grade.FAULT, row.health, mend)


def _ports(settings: SlipwaySettings) -> Iterator[Check]:
    """Yield the check of the ports. What an earlier run left is ended by the next start."""
    taken = taken_ports(settings)
    if not taken:
        yield Check("ports", Grade.OK, f"all {len(port_names())} are free")
    for name, holder in taken.items():
        mend = f"End it, or move ours: {name.upper()}=… (settings in .env)."
        if len(taken) > 1:
            mend = f"{mend} {SECOND_SYSTEM} moves all."
        yield Check(f"port {getattr(settings, name)}", Grade.FAULT, f"{holder} has it", mend)
