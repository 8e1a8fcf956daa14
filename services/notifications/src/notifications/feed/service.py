"""Use cases of the feed: number and write items, say where a client goes on, hold its sockets."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.auth.principal import Verifier
from chassis.database import after_commit
from chassis.errors import DomainError, Unauthenticated
from chassis.messaging import Wakeups
from notifications.feed.repository import FeedRepository, Item, Place

CHANNEL = "notifications_feed"
PAGE = 50  # items read for one socket at a time; it holds two pages at most
_USERS_IN_HINT = 200  # 37 bytes each: below the 8,000 that NOTIFY takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item to be written: `data` is what the client gets."""

    user_id: UUID
    event_id: int
    type: str
    data: Mapping[str, Any]
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a client's items begin: after `position`; `reset` if what it asked for is not kept."""

    position: int
    reset: bool


class Feed:
    """The feed in one transaction.

    Args:
        session: the transaction.
        entries: its repository.
        wakeups: tells the processes that hold sockets, after the commit.
    """

    def __init__(self, *, session: AsyncSession, entries: FeedRepository, wakeups: Wakeups) -> None:
        self._session = session
        self._entries = entries
        self._wakeups = wakeups

    async def take(self, users: Sequence[UUID]) -> list[int]:
        """Take one event id for each of `users`, who may be named several times.

        Call it at the end of the transaction: those users' feeds wait for its commit.
        """
        numbers = Counter(users)
        last = await self._entries.take(numbers)
        ids = []
        for user in users:
            numbers[user] -= 1
            ids.append(last[user] - numbers[user])
        return ids

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write the items, and tell of them once they are committed."""
        await self._entries.insert([asdict(entry) for entry in entries])
        users = [str(user) for user in dict.fromkeys(entry.user_id for entry in entries)]
        hints = [
            ",".join(users[first : first + _USERS_IN_HINT])
            for first in range(0, len(users), _USERS_IN_HINT)
        ]

        def tell() -> None:
            for hint in hints:
                self._wakeups.hint(CHANNEL, hint)

        after_commit(self._session, tell)

    async def start(self, user_id: UUID, last_event_id: int | None) -> Start:
        """Say where the items begin for a client that has seen `last_event_id`.

        None begins now, 0 with everything kept. An id that was never given, or whose successor is
        not kept any more, begins now with a reset.
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
    """One socket: what it still has to be sent, and how far it was read for.

    Nothing is read for it while a page waits for its writer: so a slow client costs two pages of
    memory, and its backlog stays in the database.
    """

    def __init__(self, *, user_id: UUID, token: str) -> None:
        self.user_id = user_id
        self.token = token
        self.position: int | None = None
        self.behind = False
        self._waiting: list[Item] = []
        self._end: DomainError | None = None
        self._changed = asyncio.Event()

    @property
    def readable(self) -> bool:
        """Whether it has room for a page."""
        return self.position is not None and not self._waiting

    def offer(self, items: Sequence[Item]) -> None:
        """Hand over what follows its position."""
        self._waiting.extend(items)
        self.position = items[-1].event_id
        self._changed.set()

    def end(self, reason: DomainError) -> None:
        """Ask its writer to close it; what waits is not sent any more."""
        self._end = reason
        self._changed.set()

    async def take(self) -> list[Item]:
        """Wait for items, and take all of them; raises the reason where it is to be closed."""
        await self._changed.wait()
        self._changed.clear()
        if self._end is not None:
            raise self._end
        items, self._waiting = self._waiting, []
        return items


class Connections:
    """All sockets of this process, by user, and those for which there may be something new."""

    def __init__(self) -> None:
        self._by_user: dict[str, set[Connection]] = {}
        self._due: dict[Connection, None] = {}
        self.poll_wanted = False
        self.woken = asyncio.Event()

    @contextmanager
    def joined(self, connection: Connection) -> Iterator[None]:
        """Hold `connection`.

        Join before reading where it starts: a hint that comes between the two is not lost then.
        """
        user = str(connection.user_id)
        self._by_user.setdefault(user, set()).add(connection)
        try:
            yield
        finally:
            self._due.pop(connection, None)
            self._by_user[user].discard(connection)
            if not self._by_user[user]:
                del self._by_user[user]

    def place(self, connection: Connection, position: int) -> None:
        """Begin to read for `connection`, from behind `position`."""
        connection.position = position
        self.mark([connection])

    async def next_items(self, connection: Connection) -> list[Item]:
        """Wait for a connection's items; what it left in the database is read then."""
        items = await connection.take()
        if connection.behind:
            connection.behind = False
            self.mark([connection])
        return items

    def hint(self, payload: str) -> None:
        """Take a hint: user ids with commas between them; none means that hints were lost."""
        if not payload:
            self.poll_wanted = True
            self.woken.set()
        for user in payload.split(","):
            self.mark(self._by_user.get(user, ()))

    def mark(self, connections: Iterable[Connection]) -> None:
        """Say that there may be something new for `connections`."""
        for connection in connections:
            self._due[connection] = None
            self.woken.set()

    def mark_users(self, users: Iterable[UUID]) -> None:
        """Say that there is something new for `users`."""
        for user in users:
            self.mark(self._by_user.get(str(user), ()))

    def take_due(self, limit: int) -> list[Connection]:
        """Take at most `limit` connections to be read for, the longest waiting first."""
        batch: list[Connection] = []
        while self._due and len(batch) < limit:
            connection = next(iter(self._due))
            del self._due[connection]
            if connection.readable:
                batch.append(connection)
            elif connection.position is not None:
                connection.behind = True
        return batch

    def deliver(self, batch: Iterable[Connection], found: Mapping[Place, Sequence[Item]]) -> None:
        """Hand each connection what was found behind its position."""
        for connection in batch:
            items = found.get((connection.user_id, connection.position or 0))
            if items:
                connection.behind = len(items) == PAGE
                connection.offer(items)

    def places(self) -> list[Place]:
        """List the users that are connected, each with the least of their positions."""
        places = []
        for connections in self._by_user.values():
            placed = [c for c in connections if c.position is not None]
            if placed:
                least = min(placed, key=lambda c: c.position or 0)
                places.append((least.user_id, least.position or 0))
        return places

    def end_expired(self, verifier: Verifier) -> None:
        """Close the sockets whose token would be refused by now."""
        for connections in self._by_user.values():
            for connection in connections:
                try:
                    verifier.verify(connection.token)
                except ValueError as error:
                    connection.end(Unauthenticated(str(error)))
