"""The live feed of one client connection, which all its subscriptions share.

There is one upstream socket, from the first subscription to the end of the last. Each subscription
has a position: it gets the items after it, in order, each once. One that asks for older items than
the socket has yet to send makes the feed begin again there; the others skip what they have.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic_core import from_json

from chassis.cancellation import guarded
from gateway.graph.calls import UNAUTHENTICATED, FeedClosed, Feeds, FeedSocket, Fields
from gateway.graph.failures import GraphqlFeedReset

# Items that wait for a subscription whose client reads slowly. The feed stops reading when they are
# this many, so that the bound of the service takes effect.
_WAITING = 16
_BAD_GATEWAY = 1014
_INTERNAL_ERROR = 1011

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One item.

    Attributes:
        kind: `notification` or `order`.
        event_id: its number in the user's feed.
        data: its content.
    """

    kind: str
    event_id: int
    data: dict[str, Any]


class _Follower:
    """The items of one subscription that its client has not taken yet."""

    def __init__(self, position: int | None) -> None:
        self.position = position
        self._waiting: deque[FeedItem] = deque()
        self._failure: Exception | None = None
        self._gone = False
        self._changed = asyncio.Event()

    async def put(self, item: FeedItem) -> None:
        """Add an item that this subscription does not have yet. Waits while too many wait."""
        if self.position is not None and item.event_id <= self.position:
            return
        while len(self._waiting) >= _WAITING and not self._gone:
            self._changed.clear()
            await self._changed.wait()
        self.position = item.event_id
        self._waiting.append(item)
        self._changed.set()

    async def take(self) -> FeedItem:
        """Return the next item, or raise why there are no more."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        item = self._waiting.popleft()
        self._changed.set()
        return item

    def fail(self, error: Exception) -> None:
        """End the subscription after the items that wait."""
        self._failure = error
        self._changed.set()

    def leave(self) -> None:
        """Let the feed go on without this subscription."""
        self._gone = True
        self._changed.set()


class Feed:
    """The live feed of one client connection.

    Args:
        feeds: opens the socket to the service.
        fields: the fields of its handshake.
        token: the caller's access token.
    """

    def __init__(self, *, feeds: Feeds, fields: Fields, token: str | None) -> None:
        self._feeds = feeds
        self._fields = fields
        self._token = token
        self._followers: set[_Follower] = set()
        self._position: int | None = None
        self._pump: asyncio.Task[None] | None = None

    async def follow(self, after: int | None) -> AsyncGenerator[FeedItem]:
        """Yield the items after the event `after`; None: those that come from now on.

        Raises:
            FeedClosed: the feed ended.
            GraphqlFeedReset: the service does not keep the items after `after` any more.
        """
        if self._token is None:
            raise FeedClosed(UNAUTHENTICATED, "Subscriptions need an access token.")
        follower = _Follower(self._position if after is None else after)
        self._followers.add(follower)
        try:
            self._begin_for(after)
            while True:
                yield await follower.take()
        finally:
            self._followers.discard(follower)
            follower.leave()
            if not self._followers:
                await self._end()

    def _begin_for(self, after: int | None) -> None:
        """Begin to read, or begin again further back if a subscription needs older items.

        It awaits nothing: a subscription that was cancelled between the end of the old socket and
        the beginning of the new one would leave the others without a feed.
        """
        old = self._pump
        if old is not None:
            if not old.done() and not self._is_behind(after):
                return
            old.cancel()
        known = [one.position for one in self._followers if one.position is not None]
        start = min(known, default=None)
        self._position = None
        self._pump = asyncio.create_task(self._run(self._token or "", start, old))

    def _is_behind(self, after: int | None) -> bool:
        return after is not None and (self._position is None or after < self._position)

    async def _end(self) -> None:
        pump, self._pump, self._position = self._pump, None, None
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])

    async def _run(self, token: str, start: int | None, old: asyncio.Task[None] | None) -> None:
        try:
            await guarded(self._follow_socket(token, start, old))
        except (FeedClosed, GraphqlFeedReset) as error:
            self._fail(error)
        except (ValueError, KeyError, TypeError):
            self._fail(FeedClosed(_BAD_GATEWAY, "The service sent no valid message."))
        except Exception:
            log.exception("graphql feed failed")
            self._fail(FeedClosed(_INTERNAL_ERROR, "The gateway failed."))

    async def _follow_socket(
        self, token: str, start: int | None, old: asyncio.Task[None] | None
    ) -> None:
        if old is not None:
            await asyncio.wait([old])
        socket = await self._feeds.open(self._fields)
        try:
            await self._read(socket, token, start)
        finally:
            await socket.close()

    def _fail(self, error: Exception) -> None:
        for follower in self._followers:
            follower.fail(error)

    async def _read(self, socket: FeedSocket, token: str, start: int | None) -> None:
        hello: dict[str, Any] = {"type": "auth", "token": token}
        if start is not None:
            hello["last_event_id"] = start
        await socket.send(json.dumps(hello))
        reason = ""
        while True:
            try:
                message = from_json(await socket.receive())
            except FeedClosed as closed:
                raise FeedClosed(closed.code, closed.reason or reason) from closed
            kind = message["type"]
            if kind == "ping":
                await socket.send('{"type": "pong"}')
            elif kind == "error":
                reason = str(message.get("detail", ""))
            else:
                await self._handle(kind, message, start)

    async def _handle(self, kind: str, message: dict[str, Any], start: int | None) -> None:
        if kind == "ready":
            self._position = int(message["event_id"])
            for follower in self._followers:
                if follower.position is None:
                    follower.position = self._position
        elif kind == "reset":
            detail = (
                f"The live feed does not keep the events after {start}. Read the lists, then "
                "subscribe without `after`."
            )
            raise GraphqlFeedReset(detail)
        elif kind in {"notification", "order"}:
            item = FeedItem(kind, int(message["event_id"]), dict(message["data"]))
            self._position = item.event_id
            for follower in tuple(self._followers):
                await follower.put(item)
