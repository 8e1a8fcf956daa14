"""The task of an API process that reads items for all of its sockets, and the feed's retention."""

import asyncio
import contextlib
import time

from chassis.auth.principal import Verifier
from chassis.database import Database, is_infrastructure_error
from chassis.database.unit import Unit
from chassis.loops import Failures, for_ever
from notifications.feed.repository import FeedRepository
from notifications.feed.service import PAGE, Announcements, Connections

_BATCH = 200  # sockets in one query; bounds the memory that a burst of reconnects needs


async def prune_feed(unit: Unit, limit: int) -> int:
    """Delete entries that are older than FEED_KEPT, and return how many."""
    return await FeedRepository(unit).prune(limit=limit)


class FeedReader:
    """Reads new items when a hint arrives, and polls in case a hint was lost.

    Args:
        connections: the sockets.
        database: the database that holds the items.
        verifier: checks whether a socket's token is still valid.
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
            # Retry at the poll's interval, so that sockets with expired tokens are closed in time
            # even while the database is unavailable.
            failures=Failures((self._poll_seconds,)),
        )

    async def _read_while_connected(self) -> None:
        try:
            async with self._database.reading() as unit:
                await self._read_always(FeedRepository(unit))
        except Exception:
            self._connections.end_expired(self._verifier)
            self._connections.poll_wanted = True  # finds again what was due when the read failed
            raise

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
        """Close sockets with expired tokens, and find all users with new items in one query."""
        self._connections.end_expired(self._verifier)
        places = self._connections.places()
        if places:
            users, announced = await entries.ahead(places, announced=self._announcements.seen)
            self._connections.mark_users(users)
            if announced:
                self._announcements.wake()
