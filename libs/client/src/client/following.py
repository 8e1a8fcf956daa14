"""The live feed across connections: it connects again, and resumes without a gap or a double."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import httpx

from client.closing import Closing
from client.errors import AnswerError, DeadlineError, FeedError, ProblemError, is_permanent_status
from client.items import RESET, Connected, FeedItem
from client.retries import Backoff, seconds_of
from client.tokens import RenewingToken, Token, access_token_of

BACKOFF: Final = Backoff(first=0.5, most=30.0)
_TOKEN_REJECTED: Final = 4401


class FollowedFeed(Closing):
    """An async context manager and iterator over a user's items that outlives its connections.

    It connects again after each loss, with full jitter, and resumes after the last item. A token
    that expires or is rejected is renewed, if it can renew itself. It gives up only if connecting
    again is of no use:

    - FeedError with `permanent`: the token lacks the scope, or is rejected and can't renew itself.
    - TokenError: the log-in session has ended.

    Closing it ends the iteration, also in a task that waits for an item or for the next connection.
    Several tasks may take items at once: each item is returned to one of them.

    An item that was returned counts as seen. Store `event_id` with the item's effect, and pass it
    as `last_event_id` after a restart.

    Args:
        connect: returns a connection for an access token and the last event id.
        token: authenticates the user.
        last_event_id: see ``Feed``.
        backoff: the delays between connections.
    """

    def __init__(
        self,
        connect: Callable[[str, int | None], Connected],
        token: Token,
        *,
        last_event_id: int | None = None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.event_id = last_event_id
        """The id of the last item that was returned; before it, where the feed began."""
        self._connect_with = connect
        self._token = token
        self._backoff = backoff
        self._feed: Connected | None = None
        self._failures = 0
        self._due = 0.0  # when the next connection is, by the loop's clock
        self._sent = ""
        self._rejected = False
        self._closed = asyncio.Event()
        # Without it, two tasks would open a connection each, and one of them would be lost. And
        # the error of one connection would reach both, and end the next one, too.
        self._taking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._closed.clear()
        await self._connected()
        return self

    async def aclose(self) -> None:
        """Close the present connection, and open no other; see ``Closing``."""
        self._closed.set()
        await self._drop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FeedItem:
        async with self._taking:
            return await self._next()

    async def _next(self) -> FeedItem:
        while True:
            feed = await self._connected()
            if feed is None:
                raise StopAsyncIteration
            try:
                item = await anext(feed)
            except StopAsyncIteration:
                await self._drop()
                self._fail()
            except FeedError as error:
                await self._drop()
                if not self._closed.is_set():  # else closing it may be the cause
                    self._classify(error)
            else:
                if self._accept(item, feed):
                    return item

    def _accept(self, item: FeedItem, feed: Connected) -> bool:
        """Return whether an item is new, and make it the position to resume from."""
        if item.type == RESET:
            self.event_id = feed.event_id
        elif item.event_id is not None:
            if self.event_id is not None and item.event_id <= self.event_id:
                return False
            self.event_id = item.event_id
        # Not earlier: a server that accepts connections and drops them at once would be asked again
        # and again without a delay.
        self._failures = 0
        return True

    async def _drop(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.aclose()

    async def _connected(self) -> Connected | None:
        """Return the present connection, or the next one; None once the feed is closed."""
        while self._feed is None:
            await self._pause()
            if self._closed.is_set():
                return None
            try:
                self._feed = await self._open()
            except FeedError as error:
                self._classify(error)
            except (httpx.TransportError, DeadlineError):
                self._fail()
            except (ProblemError, AnswerError) as error:  # the renewal of the token
                if is_permanent_status(error.status):
                    raise
                self._fail(at_least=seconds_of(error.headers.get("Retry-After")))
            if self._closed.is_set():
                await self._drop()  # closing it did not know of this connection
        return self._feed

    async def _pause(self) -> None:
        """Wait until the next connection is due, or the feed is closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due):
                await self._closed.wait()

    async def _open(self) -> Connected:
        if self._rejected and isinstance(self._token, RenewingToken):
            await self._token.renew(self._sent)
        self._sent = await access_token_of(self._token)
        feed = await self._connect_with(self._sent, self.event_id).__aenter__()
        self._rejected = False
        if self.event_id is None:
            # If this connection is lost before its first item, the next one resumes here. In any
            # other case the position is that of the last item: `ready` may name a later one, which
            # the message `reset` must explain first.
            self.event_id = feed.event_id
        return feed

    def _classify(self, error: FeedError) -> None:
        """Raise an error that connecting again would repeat; count any other."""
        if error.code == _TOKEN_REJECTED:
            if self._rejected or not isinstance(self._token, RenewingToken):
                raise error
            self._rejected = True
            return
        if error.permanent:
            raise error
        self._fail(wanted=error.reconnect_seconds, at_least=error.retry_after)

    def _fail(self, *, wanted: float | None = None, at_least: float | None = None) -> None:
        """Count a failure, and note when the next connection is due.

        That is noted here and not drawn by the wait: a wait that is cancelled and begun again must
        not come back earlier than the server wants.

        Args:
            wanted: the delay in seconds that the server chose for this client.
            at_least: the seconds that the server asks all its clients to wait.
        """
        self._failures += 1
        if wanted is None:
            wanted = (at_least or 0.0) + self._backoff.delay(self._failures)
        self._due = asyncio.get_running_loop().time() + wanted
