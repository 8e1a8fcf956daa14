"""The state directory: data, keys, logs, the record of what runs, and the lock that there is one.

The record is what `slipway status` reads from another terminal.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from slipway.errors import AlreadyRunningError, SlipwayError


class Entry(BaseModel):
    """One process or server of a running system."""

    name: str
    pid: int | None
    address: str
    ready_url: str | None = None


class Record(BaseModel):
    """What runs, as its supervisor last wrote it."""

    pid: int
    create_time: float
    gateway_url: str
    traces_url: str
    processes: tuple[Entry, ...] = ()
    servers: tuple[Entry, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote this still runs; a pid alone may be another's."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.create_time) < 1
        except psutil.Error:
            return False


class StateDirectory:
    """Paths below one directory, and what is kept in single files there.

    Args:
        path: is made where it is missing, for its owner's eyes only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.servers = self.path / "servers"
        self.keys = self.path / "keys"
        self._record = self.path / "running.json"

    def make(self) -> None:
        """Make the directories."""
        for path in (self.path, self.logs, self.run, self.servers, self.keys):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> Record | None:
        """The record of what runs, or of what last ran; None where there is none."""
        try:
            return Record.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, record: Record) -> None:
        """Replace the record at once, so that a reader never sees half of it."""
        write_whole(self._record, record.model_dump_json(indent=1))

    def clear(self) -> None:
        """Remove the record, after an ordered stop."""
        self._record.unlink(missing_ok=True)

    def passwords(self, names: tuple[str, ...]) -> dict[str, str]:
        """Passwords made once for this directory, by name."""
        path = self.keys / "passwords.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = [name for name in names if name not in kept]
        if missing:
            kept |= {name: secrets.token_urlsafe(24) for name in missing}
            write_whole(path, json.dumps(kept, indent=1))
        return kept

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory; the kernel lets go of it when this process dies, however it dies."""
        self.make()
        lock = FileLock(self.path / "up.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise AlreadyRunningError(self._who()) from error
        try:
            yield
        finally:
            lock.release()

    def _who(self) -> str:
        record = self.read()
        if record is None or not record.alive:
            return f"a system is starting or stopping in {self.path}: wait for it, or stop it"
        return (
            f"the system is running already: pid {record.pid}, {record.gateway_url} "
            f"(state in {self.path}). `slipway status` shows it; Ctrl-C in its terminal, or "
            f"`kill {record.pid}`, stops it"
        )


def write_whole(path: Path, text: str) -> None:
    """Write a file that only its owner reads, so that it is there whole or not at all."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


def find_root(start: Path) -> Path:
    """The top of the repository that `start` is in."""
    for path in (start, *start.parents):
        if (path / "services").is_dir() and (path / "pyproject.toml").is_file():
            return path
    message = f"{start} is in no Slipway repository (none above it has services/): cd into one"
    raise SlipwayError(message)
