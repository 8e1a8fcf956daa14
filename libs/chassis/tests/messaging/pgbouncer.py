"""Debian's PgBouncer, with few server connections, so that clients share them."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

from localservers import LocalServer

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
PROGRAM = shutil.which("pgbouncer", path=_PATH)
APPLICATION = "behind the pooler"
# The configuration that docs/guides/pooler.md gives.
CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user} password={password} \
connect_query='SET statement_timeout = 10000; SET jit = off'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = {ignored}
default_pool_size = 3
max_client_conn = 200
"""


class PgBouncer(LocalServer):
    """A pooler in front of the database of `url`; all clients use the role of `url`.

    Args:
        directory: for its configuration.
        port: the port that it listens on.
        url: the URL of the database.
        mode: ``transaction`` or ``session``.
        ignored: session settings that a client may send, and that have no effect.
    """

    name = "pgbouncer"

    def __init__(
        self,
        *,
        directory: Path,
        port: int,
        url: str,
        mode: str = "transaction",
        ignored: str = "",
    ) -> None:
        super().__init__(directory=directory, port=port)
        self._url = make_url(url)
        self._mode = mode
        self._ignored = ignored

    @property
    def url(self) -> str:
        """The URL of the same database through the pooler."""
        return self._url.set(port=self.port).render_as_string(hide_password=False)

    async def prepare(self) -> None:
        text = CONFIGURATION.format(
            host=self._url.host,
            port=self._url.port,
            user=self._url.username,
            password=self._url.password,
            listen_port=self.port,
            mode=self._mode,
            ignored=self._ignored,
        )
        await asyncio.to_thread((self.directory / "pgbouncer.ini").write_text, text)

    def command(self) -> Sequence[str | Path]:
        assert PROGRAM is not None
        # PgBouncer refuses to run as root.
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        return (PROGRAM, *user, self.directory / "pgbouncer.ini")

    async def answers(self) -> bool:
        connection = await asyncpg.connect(self.url, timeout=1, statement_cache_size=0)
        await connection.close()
        return True
