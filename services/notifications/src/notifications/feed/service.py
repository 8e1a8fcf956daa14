"""Use cases of the live feed: announce new items, resume a client, hold the sockets."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge

from chassis.auth.principal import Principal, Verifier
from chassis.database.unit import Unit
from chassis.errors import DomainError, Unauthenticated
from chassis.messaging import Wakeups
from notifications.feed.errors import ProcessFull, TooManySockets
from notifications.feed.repository import FeedPosition, FeedRepository, Item

CHANNEL = "notifications_feed"
PAGE = 50  # items read for one socket at a time; a socket holds two pages at most
_USERS_IN_HINT = 200  # 37 bytes each: below the 8,000 bytes of a NOTIFY payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Items follow after `position`; `reset` if the client's own position can't be resumed."""

    position: int
    reset: bool


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


class Connection:
    """One socket: the items that wait to be sent, and the position up to which items were read.

    No items are read for a socket while a page waits to be sent. So a slow client needs the memory
    of two pages at most, and its backlog stays in the database.

    Args:
        principal: the socket's user. The token itself is not kept.
    """

    def __init__(self, *, principal: Principal) -> None:
        self.user_id = principal.user_id
        self.principal = principal
        self.position: int | None = None
        self.behind = False
        self._waiting: list[Item] = []
        self._end: DomainError | None = None
        self._changed = asyncio.Event()

    @property
    def readable(self) -> bool:
        """Whether items may be read for it: it has a position, and no page waits."""
        return self.position is not None and not self._waiting

    def offer(self, items: Sequence[Item]) -> None:
        """Add the items that follow its position, and advance the position."""
        self._waiting.extend(items)
        self.position = items[-1].event_id
        self._changed.set()

    def end(self, reason: DomainError) -> None:
        """Make `take` raise `reason`, so that the socket is closed. Waiting items are not sent."""
        self._end = reason
        self._changed.set()

    async def take_items(self) -> list[Item]:
        """Wait for items and return all of them, or raise the reason if the socket must close."""
        await self._changed.wait()
        self._changed.clear()
        if self._end is not None:
            raise self._end
        items, self._waiting = self._waiting, []
        return items


class SocketMetrics:
    """The metrics of the sockets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "feed_sockets", "Sockets of the live feed that are authenticated.", registry=registry
        )
        self.refused = prometheus_client.Counter(
            "feed_sockets_refused",
            "Sockets that were closed because the process or the user had too many, by that bound.",
            ("bound",),
            registry=registry,
        )


class Connections:
    """All sockets of this process, by user, and those for which new items may exist.

    Args:
        limit: the most sockets of the process.
        limit_per_user: the most sockets of one user in the process.
        metrics: the metrics to update.
    """

    def __init__(self, *, limit: int, limit_per_user: int, metrics: SocketMetrics) -> None:
        self._limit = limit
        self._limit_per_user = limit_per_user
        self._metrics = metrics
        self._count = 0
        self._by_user: dict[str, set[Connection]] = {}
        self._due: dict[Connection, None] = {}
        self.poll_wanted = False
        self.woken = asyncio.Event()

    @contextmanager
    def joined(self, connection: Connection) -> Iterator[None]:
        """Hold `connection` until the context ends.

        Join before reading the start position. Otherwise a hint that arrives between the two steps
        would be lost.

        Raises:
            ProcessFull: the process already holds `limit` sockets.
            TooManySockets: the user already has `limit_per_user` sockets in this process.
        """
        user = str(connection.user_id)
        self._check_bounds(user)
        self._count += 1
        self._metrics.open.set(self._count)
        self._by_user.setdefault(user, set()).add(connection)
        try:
            yield
        finally:
            self._count -= 1
            self._metrics.open.set(self._count)
            self._due.pop(connection, None)
            self._by_user[user].discard(connection)
            if not self._by_user[user]:
                del self._by_user[user]

    def _check_bounds(self, user: str) -> None:
        if self._count >= self._limit:
            self._metrics.refused.labels("process").inc()
            raise ProcessFull(self._limit)
        if len(self._by_user.get(user, ())) >= self._limit_per_user:
            self._metrics.refused.labels("user").inc()
            raise TooManySockets(self._limit_per_user)

    def place(self, connection: Connection, position: int) -> None:
        """Start reading items after `position` for `connection`."""
        connection.position = position
        self.mark([connection])

    async def next_items(self, connection: Connection) -> list[Item]:
        """Wait for a connection's items and return them.

        If more items are in the database, mark the connection, so that the reader reads them.
        """
        items = await connection.take_items()
        if connection.behind:
            connection.behind = False
            self.mark([connection])
        return items

    def hint(self, payload: str) -> None:
        """Handle a hint: user ids, comma-separated. An empty payload means that hints were lost."""
        if not payload:
            self.poll_wanted = True
            self.woken.set()
        for user in payload.split(","):
            self.mark(self._by_user.get(user, ()))

    def mark(self, connections: Iterable[Connection]) -> None:
        """Mark `connections` as due: new items may exist for them."""
        for connection in connections:
            self._due[connection] = None
            self.woken.set()

    def mark_users(self, users: Iterable[UUID]) -> None:
        """Mark the connections of `users` as due."""
        for user in users:
            self.mark(self._by_user.get(str(user), ()))

    def take_due(self, limit: int) -> list[Connection]:
        """Return at most `limit` due connections that can take items, longest waiting first."""
        batch: list[Connection] = []
        while self._due and len(batch) < limit:
            connection = next(iter(self._due))
            del self._due[connection]
            if connection.readable:
                batch.append(connection)
            elif connection.position is not None:
                connection.behind = True
        return batch

    def deliver(
        self, batch: Iterable[Connection], found: Mapping[FeedPosition, Sequence[Item]]
    ) -> None:
        """Give each connection the items that were found after its position."""
        for connection in batch:
            items = found.get((connection.user_id, connection.position or 0))
            if items:
                connection.behind = len(items) == PAGE
                connection.offer(items)

    def places(self) -> list[FeedPosition]:
        """Return the connected users, each with the lowest position of their connections."""
        places = []
        for connections in self._by_user.values():
            placed = [c for c in connections if c.position is not None]
            if placed:
                least = min(placed, key=lambda c: c.position or 0)
                places.append((least.user_id, least.position or 0))
        return places

    def end_expired(self, verifier: Verifier) -> None:
        """Close the sockets whose token is no longer valid.

        It checks claims and verifies no signature, since it runs over all sockets at each poll (1 s
        by default): 10,000 signatures would block the event loop for 0.6 s.
        """
        for connections in self._by_user.values():
            for connection in connections:
                try:
                    verifier.check(connection.principal)
                except ValueError as error:
                    connection.end(Unauthenticated(str(error)))
