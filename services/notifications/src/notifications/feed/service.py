"""Use cases of the live feed: announce new items, resume a client, hold the connections."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from chassis.auth.principal import Principal, Verifier
from chassis.database.unit import Unit
from chassis.errors import DomainError, Unauthenticated
from chassis.lean_waits import LeanEvent
from chassis.messaging import Wakeups
from notifications.feed.errors import ProcessFull, ServerStopping, TooManySockets, TooSlow
from notifications.feed.models import (
    TRANSITIONS,
    CursorState,
    CursorStep,
    FeedMetrics,
    Start,
    Transport,
)
from notifications.feed.repository import FeedPosition, FeedRepository, Item

CHANNEL = "notifications_feed"
TO_ALL = "*"
"""The hint that there is a new announcement, in place of users."""
PAGE = 50  # items read for one connection at a time; it holds two pages at most
# The system's generator: code that seeds Python's own must not be affected.
_CHANCE = random.SystemRandom()
_USERS_IN_HINT = 200  # 37 bytes each: below the 8,000 bytes of a NOTIFY payload


class Feed:
    """The feed in one transaction.

    Args:
        unit: the transaction.
        entries: its repository.
        wakeups: sends hints to the processes that hold sockets, after the commit.
    """

    def __init__(self, *, unit: Unit, entries: FeedRepository, wakeups: Wakeups) -> None:
        self._unit = unit
        self._entries = entries
        self._wakeups = wakeups

    def announce_items(self, users: Iterable[UUID]) -> None:
        """Send hints after the commit: new items were written for `users`."""
        hinted = [str(user) for user in dict.fromkeys(users)]
        hints = [
            ",".join(hinted[first : first + _USERS_IN_HINT])
            for first in range(0, len(hinted), _USERS_IN_HINT)
        ]

        def send_hints() -> None:
            for hint in hints:
                self._wakeups.hint(CHANNEL, hint)

        self._unit.after_commit(send_hints)

    def announce_to_all(self) -> None:
        """Send a hint after the commit: a new announcement was stored, for every user."""
        self._unit.after_commit(lambda: self._wakeups.hint(CHANNEL, TO_ALL))

    async def lock_open(self, user_id: UUID) -> bool:
        """Keep a user's feed from being closed until the transaction ends; see ``FeedRepository``.

        Returns:
            False if it is closed: the account was deleted.
        """
        return await self._entries.lock_open(user_id)

    async def close(self, user_id: UUID) -> None:
        """Give a user's feed no more items; see ``FeedRepository.close``."""
        await self._entries.close(user_id)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete items of a user, at most `limit`, and return how many."""
        return await self._entries.erase(user_id, limit=limit)

    async def find_start(self, user_id: UUID, last_event_id: int | None) -> Start:
        """Return where the items begin for a client that has seen `last_event_id`.

        None starts with new items, 0 with the oldest item that is kept. If the id was never issued,
        or the item after it is no longer kept, the client starts with new items and gets a reset.
        """
        extent = await self._entries.extent(user_id)
        before_kept = extent.head if extent.oldest is None else extent.oldest - 1
        if last_event_id is None:
            return Start(position=extent.head, reset=False)
        if last_event_id == 0:
            return Start(position=before_kept, reset=False)
        if before_kept <= last_event_id <= extent.head:
            return Start(position=last_event_id, reset=False)
        return Start(position=extent.head, reset=True)


async def sent_in_time(sending: Awaitable[None], *, seconds: float) -> None:
    """Wait until the client has accepted a message, or raise TooSlow after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await sending
    except TimeoutError as error:
        message = (
            f"The client took over {seconds:g} s to read a message. Read faster, and connect "
            "again with your last_event_id."
        )
        raise TooSlow(message) from error


class Connection:
    """One client that follows its feed: the items that wait for its writer, and its position.

    Only ``Connections`` changes its state.

    Args:
        principal: the connection's user; ``renew`` replaces it. The token itself is not kept.
        transport: how the client is connected.
    """

    def __init__(self, *, principal: Principal, transport: Transport = Transport.WEBSOCKET) -> None:
        self.user_id = principal.user_id
        self.principal = principal
        self.transport = transport
        self._opened_at = time.time()
        self.state = CursorState.STARTING
        self.position = 0  # unknown while STARTING
        self._waiting: list[Item] = []
        self._end: DomainError | None = None
        self._changed = LeanEvent()

    @property
    def held(self) -> int:
        """How many items wait for the writer."""
        return len(self._waiting)

    def advance(self, step: CursorStep) -> None:
        """Change the state, or raise KeyError if the step is impossible now."""
        self.state = TRANSITIONS[self.state][step]

    def offer(self, items: Sequence[Item]) -> None:
        """Hold a page for the writer, and advance the position."""
        self._waiting.extend(items)
        self.position = items[-1].event_id
        self._changed.set()

    def age_of(self, item: Item) -> float | None:
        """Return the seconds since what caused an item, as two machines' clocks have them.

        None if that was before this connection was opened: then the client was late, not the item.
        """
        if item.caused_at is None or item.caused_at < self._opened_at:
            return None
        return max(0.0, time.time() - item.caused_at)

    def end(self, reason: DomainError) -> None:
        """Make `take_items` raise `reason`. Items that wait are not sent."""
        self._end = self._end or reason
        self._changed.set()

    async def take_items(self) -> list[Item]:
        """Wait for items and return all of them, or raise the reason if it must be closed."""
        await self._changed.wait()
        self._changed.clear()
        if self._end is not None:
            raise self._end
        items, self._waiting = self._waiting, []
        return items


class Connections:
    """All connections of this process, by user, and those for which new items may exist.

    Args:
        limit: the most connections of the process.
        limit_per_user: the most connections of one user in the process.
        metrics: the metrics to update.
        reconnect_seconds: the time over which clients spread their reconnects after ``drain``.
    """

    def __init__(
        self,
        *,
        limit: int,
        limit_per_user: int,
        metrics: FeedMetrics,
        reconnect_seconds: float = 5.0,
    ) -> None:
        self.metrics = metrics
        self.woken = asyncio.Event()
        self._limit = limit
        self._limit_per_user = limit_per_user
        self._reconnect_seconds = reconnect_seconds
        self._count = 0
        self._by_user: dict[str, set[Connection]] = {}
        self._due: dict[Connection, None] = {}  # exactly those whose state is DUE
        self._poll_wanted = False
        self._draining = False

    @contextmanager
    def joined(self, connection: Connection) -> Iterator[None]:
        """Hold `connection` until the context ends.

        Join before reading the start position. Otherwise a hint that arrives between the two steps
        would be lost.

        Raises:
            ServerStopping: the process is about to stop.
            ProcessFull: the process already holds `limit` connections.
            TooManySockets: the user already has `limit_per_user` connections in this process.
        """
        user = str(connection.user_id)
        self._check_bounds(user)
        self._count += 1
        opened = self.metrics.open.labels(connection.transport)
        opened.inc()
        self._by_user.setdefault(user, set()).add(connection)
        try:
            yield
        except TooSlow:
            self.metrics.dropped.inc(connection.held)
            raise
        finally:
            self._count -= 1
            opened.dec()
            self._due.pop(connection, None)
            connection.advance(CursorStep.ENDED)  # the reader may be reading for it
            self._by_user[user].discard(connection)
            if not self._by_user[user]:
                del self._by_user[user]

    def _check_bounds(self, user: str) -> None:
        if self._draining:
            raise ServerStopping(self.reconnect_ms())
        if self._count >= self._limit:
            self.metrics.refused.labels("process").inc()
            raise ProcessFull(self._limit)
        if len(self._by_user.get(user, ())) >= self._limit_per_user:
            self.metrics.refused.labels("user").inc()
            raise TooManySockets(self._limit_per_user)

    def reconnect_ms(self) -> int:
        """Return a random time in milliseconds that a client waits before it connects again."""
        return int(1000 * self._reconnect_seconds * _CHANCE.uniform(0.1, 1))

    def place(self, connection: Connection, position: int) -> None:
        """Start reading items after `position` for `connection`."""
        connection.position = position
        self._advance(connection, CursorStep.PLACED)

    async def follow(
        self, connection: Connection, *, ping_seconds: float
    ) -> AsyncGenerator[list[Item]]:
        """Yield a connection's items as they come, and an empty list each `ping_seconds`.

        Raises:
            DomainError: the reason for which the connection must be closed.
        """
        loop = asyncio.get_running_loop()
        ping_at = loop.time() + ping_seconds
        while True:
            try:
                async with asyncio.timeout_at(ping_at):
                    items = await self.next_items(connection)
            except TimeoutError:
                ping_at = loop.time() + ping_seconds
                items = []
            yield items

    async def next_items(self, connection: Connection) -> list[Item]:
        """Wait for a connection's items and return them; the reader then reads those after them."""
        items = await connection.take_items()
        self._advance(connection, CursorStep.TAKEN)
        return items

    def hint(self, payload: str) -> None:
        """Handle a hint: user ids, comma-separated. An empty payload means that hints were lost."""
        if not payload:
            self._poll_wanted = True
            self.woken.set()
        for user in payload.split(","):
            self._mark_user(user)

    def mark_users(self, users: Iterable[UUID]) -> None:
        """Mark the connections of `users`: new items may exist for them."""
        for user in users:
            self._mark_user(str(user))

    def _mark_user(self, user: str) -> None:
        for connection in self._by_user.get(user, ()):
            self._advance(connection, CursorStep.HINTED)

    def _advance(self, connection: Connection, step: CursorStep) -> None:
        connection.advance(step)
        if connection.state is CursorState.DUE:
            self._due[connection] = None
            self.woken.set()

    def take_poll_wanted(self) -> bool:
        """Return whether hints were lost since the last call."""
        wanted, self._poll_wanted = self._poll_wanted, False
        return wanted

    def take_due(self, limit: int) -> list[Connection]:
        """Return at most `limit` due connections, longest waiting first.

        Pass them to ``deliver``, or to ``release`` if the read failed.
        """
        batch = [connection for connection, _ in zip(self._due, range(limit), strict=False)]
        for connection in batch:
            del self._due[connection]
            connection.advance(CursorStep.READ)
        return batch

    def release(self, batch: Iterable[Connection]) -> None:
        """Make connections due again whose read failed."""
        for connection in batch:
            self._advance(connection, CursorStep.FAILED)

    def deliver(
        self, batch: Iterable[Connection], found: Mapping[FeedPosition, Sequence[Item]]
    ) -> None:
        """Give each connection the items that were found after its position."""
        for connection in batch:
            items = found.get((connection.user_id, connection.position))
            if not items:
                self._advance(connection, CursorStep.FOUND_NOTHING)
                continue
            whole = len(items) == PAGE
            self._advance(connection, CursorStep.FOUND_PAGE if whole else CursorStep.FOUND_ALL)
            if connection.state is not CursorState.ENDED:
                connection.offer(items)

    def users(self) -> list[UUID]:
        """Return the connected users."""
        return [UUID(user) for user in self._by_user]

    def places(self) -> list[FeedPosition]:
        """Return the connected users, each with the lowest position of their connections."""
        places = []
        for connections in self._by_user.values():
            placed = [c for c in connections if c.state is not CursorState.STARTING]
            if placed:
                least = min(placed, key=lambda c: c.position)
                places.append((least.user_id, least.position))
        return places

    def end_expired(self, verifier: Verifier) -> None:
        """Close the connections whose token is no longer valid.

        It checks claims and verifies no signature, since it runs over all connections at each poll
        (1 s by default): 10,000 signatures would block the event loop for 0.6 s.
        """
        for connection in self._all():
            try:
                verifier.check(connection.principal)
            except ValueError as error:
                self._end(connection, Unauthenticated(str(error)))

    def drain(self) -> None:
        """Close all connections, and accept no more, because the process stops."""
        self._draining = True
        for connection in self._all():
            self._end(connection, ServerStopping(self.reconnect_ms()))

    def _all(self) -> Iterator[Connection]:
        for connections in self._by_user.values():
            yield from connections

    def _end(self, connection: Connection, reason: DomainError) -> None:
        self._due.pop(connection, None)
        self._advance(connection, CursorStep.ENDED)
        connection.end(reason)
