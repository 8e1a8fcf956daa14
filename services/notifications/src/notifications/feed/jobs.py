"""The tasks of an API process for all of its connections, and the feed's retention."""

import asyncio
import contextlib
import time

from chassis.auth.principal import Verifier
from chassis.database import Database, is_infrastructure_error
from chassis.database.unit import Unit
from chassis.loops import Failures, for_ever
from notifications.feed.models import Announcements
from notifications.feed.repository import FeedRepository
from notifications.feed.service import PAGE, Connections

_BATCH = 200  # connections in one query; bounds the memory that a burst of reconnects needs


async def prune_feed(unit: Unit, limit: int) -> int:
    """Delete entries that are older than FEED_KEPT, and return how many."""
    return await FeedRepository(unit).prune(limit=limit)


async def drain_feed(connections: Connections, stopping: asyncio.Event) -> None:
    """End all connections once the process is told to stop: a stream would hold it up."""
    await stopping.wait()
    connections.drain()


class FeedReader:
    """Reads new items when a hint arrives, and polls in case a hint was lost.

    Args:
        connections: the connections.
        database: the database that holds the items.
        verifier: checks whether a connection's token is still valid.
        announcements: is woken when a poll finds a new announcement.
        poll_seconds: seconds between two polls: the longest that an item waits if its hint is lost.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        database: Database,
        verifier: Verifier,
        announcements: Announcements,
        poll_seconds: float,
    ) -> None:
        self._connections = connections
        self._database = database
        self._verifier = verifier
        self._announcements = announcements
        self._poll_seconds = poll_seconds
        self._poll_at = 0.0

    async def run(self) -> None:
        """Read until cancelled. Retry while the database is unavailable."""
        await for_ever(
            self._read_while_connected,
            every=self._poll_seconds,
            name="live feed",
            passes=is_infrastructure_error,
            # Retry at the poll's interval, so that connections with expired tokens are closed in
            # time even while the database is unavailable.
            failures=Failures((self._poll_seconds,)),
        )

    async def _read_while_connected(self) -> None:
        try:
            async with self._database.reading() as unit:
                await self._read_always(FeedRepository(unit))
        except Exception:
            self._connections.end_expired(self._verifier)
            raise

    async def _read_always(self, entries: FeedRepository) -> None:
        while True:
            await self._read(entries)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_at - time.monotonic()):
                    await self._connections.woken.wait()

    async def _read(self, entries: FeedRepository) -> None:
        self._connections.woken.clear()
        if self._connections.take_poll_wanted() or time.monotonic() >= self._poll_at:
            self._poll_at = 0.0  # until the poll has succeeded
            await self._poll(entries)
            self._poll_at = time.monotonic() + self._poll_seconds
        batch = self._connections.take_due(_BATCH)
        if not batch:
            return
        try:
            found = await entries.after({(c.user_id, c.position) for c in batch}, page=PAGE)
        except BaseException:
            self._connections.release(batch)
            raise
        self._connections.deliver(batch, found)
        if len(batch) == _BATCH:
            self._connections.woken.set()

    async def _poll(self, entries: FeedRepository) -> None:
        """Close connections with expired tokens, and find all users with new items at once."""
        self._connections.end_expired(self._verifier)
        places = self._connections.places()
        if places:
            users, announced = await entries.ahead(places, announced=self._announcements.seen)
            self._connections.mark_users(users)
            if announced:
                self._announcements.wake()
