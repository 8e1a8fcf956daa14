"""The one task of an API process that reads for all of its sockets."""

import asyncio
import contextlib
import time

import structlog

from chassis.auth.principal import Verifier
from chassis.database import Database, is_infrastructure_error
from notifications.feed.repository import FeedRepository
from notifications.feed.service import PAGE, Connections

log = structlog.get_logger(__name__)

_BATCH = 200  # sockets in one query: bounds what a burst of reconnects holds in memory


class FeedReader:
    """Reads new items once a hint tells of them, and looks for itself once in a while.

    Args:
        connections: the sockets.
        database: where the items are.
        verifier: says whether a socket's token is still good.
        poll_seconds: hints get lost; this is the longest that an item waits then.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        database: Database,
        verifier: Verifier,
        poll_seconds: float,
    ) -> None:
        self._connections = connections
        self._database = database
        self._verifier = verifier
        self._poll_seconds = poll_seconds
        self._poll_at = 0.0

    async def run(self) -> None:
        """Read until cancelled; a database that is away is waited for."""
        while True:
            try:
                async with self._database.reading() as session:
                    await self._read_always(FeedRepository(session))
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("the feed waits for the database", error=str(error))
            self._connections.end_expired(self._verifier)
            self._connections.poll_wanted = True  # what was due when it failed is found again
            await asyncio.sleep(self._poll_seconds)

    async def _read_always(self, entries: FeedRepository) -> None:
        while True:
            await self._read(entries)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_at - time.monotonic()):
                    await self._connections.woken.wait()

    async def _read(self, entries: FeedRepository) -> None:
        self._connections.woken.clear()
        if self._connections.poll_wanted or time.monotonic() >= self._poll_at:
            self._connections.poll_wanted = False
            self._poll_at = time.monotonic() + self._poll_seconds
            await self._poll(entries)
        batch = self._connections.take_due(_BATCH)
        if not batch:
            return
        places = {(one.user_id, one.position) for one in batch if one.position is not None}
        found = await entries.after(places, page=PAGE)
        self._connections.deliver(batch, found)
        if len(batch) == _BATCH:
            self._connections.woken.set()

    async def _poll(self, entries: FeedRepository) -> None:
        """Find in one query who has something new; close the sockets of expired tokens."""
        self._connections.end_expired(self._verifier)
        places = self._connections.places()
        if places:
            self._connections.mark_users(await entries.ahead(places))
