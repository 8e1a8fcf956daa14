"""Wake-ups between processes: PostgreSQL NOTIFY as a hint, sent outside business transactions.

NOTIFY inside a transaction takes a lock over the whole server at commit, so hints are collected and
sent on a connection of their own, one round trip for all that came meanwhile. A hint can be lost:
whoever listens also polls.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import asyncpg
import structlog

from chassis.database.errors import is_infrastructure_error

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
_MAX_PAYLOAD_BYTES = 7_900  # PostgreSQL takes less than 8,000 bytes
_MAX_PENDING = 10_000
_KEEP_ALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


def relay_channel(service: str) -> str:
    """Name the channel that wakes the service's relay; channels are per database."""
    return f"{service}_outbox"


class Wakeups:
    """Sends hints from this process, coalesced.

    Args:
        dsn: ``postgresql://…``; past a transaction pooler.
        application_name: how the connection shows in ``pg_stat_activity``.
    """

    def __init__(self, *, dsn: str, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._pending: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()

    def hint(self, channel: str, payload: str = "") -> None:
        """Send a hint soon; never blocks, never raises. Equal hints are sent once.

        A hint too many or too large is dropped: the listener's poll finds the row.
        """
        if len(self._pending) < _MAX_PENDING and len(payload.encode()) <= _MAX_PAYLOAD_BYTES:
            self._pending[channel, payload] = None
            self._wake.set()

    async def run(self) -> None:
        """Send hints for as long as the process lives; reconnects by itself."""
        while True:
            try:
                async with connected(self._dsn, self._application_name) as connection:
                    await self._send(connection)
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("wake-ups pause: no database connection", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self, connection: asyncpg.Connection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            channels, payloads = zip(*pending, strict=True) if pending else ((), ())
            await connection.execute(
                "SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS h (c, p)",
                list(channels),
                list(payloads),
            )


@contextlib.asynccontextmanager
async def connected(
    dsn: str, application_name: str, *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """Open one asyncpg connection outside the pool, and close it without waiting for a dead server.

    The command time-out makes a server that vanished an error within seconds; TCP keep-alives let
    the server forget a client that did, and with it its locks.

    Args:
        dsn: ``postgresql://…``; past a transaction pooler, as `settings` need a session.
        application_name: how the connection shows in ``pg_stat_activity``.
        settings: further ones of the session.
    """
    connecting = asyncio.ensure_future(
        asyncpg.connect(
            dsn,
            timeout=3,
            command_timeout=10,
            server_settings={
                "application_name": application_name,
                "jit": "off",
                **_KEEP_ALIVE,
                **(settings or {}),
            },
        )
    )
    try:
        # asyncpg leaves an exception that nobody retrieves when it is cancelled half-way.
        yield await asyncio.shield(connecting)
    finally:
        with contextlib.suppress(Exception):
            await (await connecting).close(timeout=1)


async def listen(
    dsn: str, application_name: str, channel: str, on_hint: Callable[[str], None]
) -> None:
    """Call `on_hint` with the payload of each hint on `channel`, for as long as the task lives.

    Reconnects by itself; hints sent meanwhile are lost, so `on_hint("")` is called after each
    (re)connect, and the caller polls as well.
    """
    while True:
        try:
            async with connected(dsn, application_name) as connection:
                await connection.add_listener(channel, lambda *args: on_hint(str(args[3])))
                on_hint("")
                await _until_closed(connection)
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            log.warning("listener lost its connection", channel=channel, error=str(error))
        await asyncio.sleep(_RETRY_SECONDS)


async def _until_closed(connection: asyncpg.Connection) -> None:
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    if not connection.is_closed():  # before the line above
        await closed.wait()
