"""Wake-ups between processes: PostgreSQL NOTIFY as a hint, sent outside business transactions.

NOTIFY inside a transaction takes a server-wide lock at commit. So hints are collected and sent on a
separate connection, one round trip for all that have collected. A hint can be lost, so each
listener also polls.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from chassis.database.connecting import Connector
from chassis.database.infrastructure import is_infrastructure_error
from chassis.loops import Failures, for_ever

_RECONNECT_SECONDS = 1.0  # after the server closed the connection without an error
_MAX_PAYLOAD_BYTES = 7_900  # PostgreSQL accepts less than 8,000 bytes
_MAX_PENDING = 10_000
_CHECK_SECONDS = 15.0
_AT_ONCE = timedelta()
# JSON, as asyncpg needs several checks for each element of an array.
_NOTIFY = "SELECT pg_notify(hint ->> 0, hint ->> 1) FROM json_array_elements($1::json) AS hint"


def relay_channel(service: str) -> str:
    """Return the channel that wakes the service's relay; channels are per database."""
    return f"{service}_outbox"


class Wakeups:
    """Sends hints from this process; equal hints are merged.

    Args:
        connector: opens connections that bypass any pooler.
        application_name: the connection's name in ``pg_stat_activity``.
    """

    def __init__(self, *, connector: Connector, application_name: str) -> None:
        self._connector = connector
        self._application_name = application_name
        self._pending: dict[tuple[str, str], None] = {}
        self._delayed: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._failures = Failures()

    def hint(self, channel: str, payload: str = "", *, delay: timedelta = _AT_ONCE) -> None:
        """Queue a hint to be sent soon; never block, never raise. Equal hints are sent once.

        If too many hints wait, or this one is too large, it is dropped: the listener's poll finds
        the row.

        Args:
            channel: the channel.
            payload: what the listener gets.
            delay: how long the hint waits for equal ones, with which it is sent. The first one's
                delay counts.
        """
        if len(payload.encode()) > _MAX_PAYLOAD_BYTES:
            return
        hint = (channel, payload)
        if not delay:
            self._queue(hint)
        elif hint not in self._delayed and len(self._delayed) < _MAX_PENDING:
            self._delayed.add(hint)
            loop = asyncio.get_running_loop()
            loop.call_later(delay.total_seconds(), self._queue_delayed, hint)

    def _queue_delayed(self, hint: tuple[str, str]) -> None:
        self._delayed.discard(hint)
        self._queue(hint)

    def _queue(self, hint: tuple[str, str]) -> None:
        if len(self._pending) < _MAX_PENDING:
            self._pending[hint] = None
            self._wake.set()

    async def run(self) -> None:
        """Send hints for as long as the process lives; reconnect after an error."""
        await for_ever(
            self._send_while_connected,
            every=0,
            name="wake-ups",
            passes=is_infrastructure_error,
            failures=self._failures,
        )

    async def _send_while_connected(self) -> None:
        async with self._connector.opened(self._application_name) as connection:
            self._failures.clear()
            await self._send(connection)

    async def _send(self, connection: asyncpg.Connection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            await connection.execute(_NOTIFY, json.dumps(list(pending)))


async def listen(
    connector: Connector,
    application_name: str,
    channel: str,
    on_hint: Callable[[str], None],
    *,
    check_seconds: float = _CHECK_SECONDS,
) -> None:
    """Call `on_hint` with the payload of each hint on `channel`, for as long as the task lives.

    Reconnects after an error. Hints sent while disconnected are lost, so `on_hint("")` is called
    after each (re)connect, and the caller must poll as well.

    Args:
        connector: opens connections that bypass any pooler.
        application_name: the connection's name in ``pg_stat_activity``.
        channel: the channel to listen on.
        on_hint: called with the payload.
        check_seconds: the time between two checks of the connection, and the time-out of a check.
    """
    failures = Failures()

    async def listen_while_connected() -> None:
        async with connector.opened(application_name) as connection:
            await connection.add_listener(channel, lambda *args: on_hint(str(args[3])))
            failures.clear()
            on_hint("")
            await _until_closed(connection, check_seconds)

    await for_ever(
        listen_while_connected,
        every=_RECONNECT_SECONDS,
        name=f"listening on {channel}",
        passes=is_infrastructure_error,
        failures=failures,
    )


async def _until_closed(connection: asyncpg.Connection, check_seconds: float) -> None:
    """Wait until the connection ends; poll it, as a host that crashed does not close it."""
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    while not connection.is_closed():
        try:
            await asyncio.wait_for(closed.wait(), check_seconds)
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=check_seconds)
