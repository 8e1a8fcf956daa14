"""The state directory: data, keys, logs, the record of what runs, and the lock.

`slipway status` reads the record from another terminal.
"""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, TypeAdapter, ValidationError

from slipway.errors import AlreadyRunningError, SlipwayError

SUPERUSER = "postgres"
"""The superuser of the local Postgres, and the name of its password."""

_PASSWORDS = "passwords.json"
_LOOK_SECONDS = 0.2
_Passwords = TypeAdapter(dict[str, str])


class Entry(BaseModel):
    """One process or server of a running system."""

    name: str
    pid: int | None
    address: str
    ready_url: str | None = None


class Record(BaseModel):
    """What runs, as its supervisor last wrote it.

    Attributes:
        pid: of the supervisor.
        create_time: of the supervisor, as psutil gives it.
        gateway_url: the address of the API.
        traces_url: the address of the trace sink.
        ready_at: when the start had ended, seeds included; None until then.
        processes: by name.
        servers: by name.
    """

    pid: int
    create_time: float
    gateway_url: str
    traces_url: str
    ready_at: datetime | None = None
    processes: tuple[Entry, ...] = ()
    servers: tuple[Entry, ...] = ()

    @property
    def ready(self) -> bool:
        """Return whether the start has ended."""
        return self.ready_at is not None

    @property
    def alive(self) -> bool:
        """Return whether the record's supervisor still runs; its pid alone may have been reused."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.create_time) < 1
        except psutil.Error:
            return False


class StateDirectory:
    """Paths below one directory, and the contents of single files there.

    Args:
        path: is created if it is missing, readable only by its owner.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.servers = self.path / "servers"
        self.keys = self.path / "keys"
        self._record = self.path / "running.json"

    def make(self) -> None:
        """Create the directories."""
        for path in (self.path, self.logs, self.run, self.servers, self.keys):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> Record | None:
        """Return the record of what runs or last ran; None if there is none.

        Raises:
            SlipwayError: the record can't be read.
        """
        try:
            return Record.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def write(self, record: Record) -> None:
        """Replace the record atomically, so that a reader never sees half of it."""
        write_whole(self._record, record.model_dump_json(indent=1))

    def clear(self) -> None:
        """Remove the record after a clean stop."""
        self._record.unlink(missing_ok=True)

    def has_passwords(self) -> bool:
        """Return whether a system was started here, which made the passwords."""
        return (self.keys / _PASSWORDS).exists()

    def passwords(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return this directory's passwords by name; create the missing ones.

        Raises:
            SlipwayError: the file of the passwords is damaged.
        """
        path = self.keys / _PASSWORDS
        kept = self._kept_passwords(path)
        if kept.keys() >= set(names):
            return kept
        with locked(self.keys):  # what another process makes now is kept, and returned
            kept = self._kept_passwords(path)
            kept |= {name: secrets.token_urlsafe(24) for name in names if name not in kept}
            write_whole(path, json.dumps(kept, indent=1))
        return kept

    def _kept_passwords(self, path: Path) -> dict[str, str]:
        try:
            return _Passwords.validate_json(path.read_bytes()) if path.exists() else {}
        except ValidationError as error:
            message = (
                f"{path} is damaged. It has the passwords of the local database. Restore it, or "
                f"delete {self.path} to start without data."
            )
            raise SlipwayError(message) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the directory; the kernel releases the lock when this process dies in any way.

        Raises:
            AlreadyRunningError: another process holds the lock.
            SlipwayError: the directory can't be created or written to.
        """
        # Another process that only looks whether the lock is held holds it itself for a moment.
        lock = FileLock(self.path / "up.lock", timeout=_LOOK_SECONDS)
        try:
            self.make()
            lock.acquire()
        except Timeout as error:
            raise AlreadyRunningError(self._who()) from error
        except OSError as error:
            raise self._unusable(error) from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Return whether a system starts, runs or stops in this directory."""
        try:
            with self.lock():
                return False
        except AlreadyRunningError:
            return True

    def _unusable(self, error: OSError) -> SlipwayError:
        message = (
            f"The state directory {self.path} can't be used: {error}. Set SLIPWAY_STATE_DIR to a "
            "directory that you may write to."
        )
        return SlipwayError(message)

    def _who(self) -> str:
        record = self.read()
        if record is None or not record.alive:
            return f"A system is starting or stopping in {self.path}. Wait for it, or stop it."
        return (
            f"The system is running already: pid {record.pid}, {record.gateway_url} "
            f"(state in {self.path}). Stop it with Ctrl-C in its terminal, or with "
            f"`kill {record.pid}`."
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory for a change of its files; wait while another process or thread holds it.

    The lock is on the directory itself, so that no file of it is left there. NFS has no such locks:
    there, the callers must take turns.

    Raises:
        OSError: the directory can't be opened.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner, and wait until it is on the disk.

    After a power failure the file is the old one or the new one. Without the flushes it may be
    empty, since a file system may store a new name before the data, or one of two files that
    belong together may be the old one although it was written first.
    """
    with _written_beside(path, text) as new:
        new.replace(path)
    _flush(path.parent)


def write_new(path: Path, text: str) -> bool:
    """Write a file as `write_whole` does, unless it exists; return whether it was written."""
    with _written_beside(path, text) as new:
        try:
            path.hardlink_to(new)  # in contrast to a rename, it never replaces a file
        except FileExistsError:
            return False
    _flush(path.parent)
    return True


@contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    """Yield a file with `text` in the same directory; remove it unless the block renames it."""
    # A random name: in containers that share a volume, two processes may have the same id.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".new")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        yield new
    finally:
        new.unlink(missing_ok=True)


def _flush(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can do that with a directory
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_root(start: Path) -> Path:
    """Return the top of the repository that contains `start`."""
    for path in (start, *start.parents):
        if (path / "services").is_dir() and (path / "pyproject.toml").is_file():
            return path
    message = (
        f"{start} is not in a Slipway repository: no directory above it has services/. Change into "
        "one."
    )
    raise SlipwayError(message)
