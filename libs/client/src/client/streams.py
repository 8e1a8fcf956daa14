"""The live feed as server-sent events (WHATWG HTML §9.2): one connection over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from http import HTTPStatus
from typing import Any, Final, Self

import httpx

from client.errors import FeedError, ProblemError
from client.items import RESET, Connected, FeedItem
from client.retries import seconds_of

_OWN_CODES: Final = 4000
_CODES: Final = {"unauthenticated": 4401}
"""The close codes that a socket would end with, by the problem in the last event of a stream."""
_LONGEST_LINE: Final = 1 << 20  # as websockets' limit of a message

type OpenStream = Callable[[], AbstractAsyncContextManager[httpx.Response]]


class Stream(Connected):
    """One connection over HTTP, for networks that let no WebSocket pass. It takes no commands.

    Entering it sends the request and waits for the event `ready`. Its end tells when to connect
    again, see `reconnect_seconds` of ``FeedError``: the server has spread its clients. It ends,
    too, if a task that waits for an item is cancelled.

    Args:
        url: the URL, for error texts.
        request: sends the request, and yields the response.
    """

    def __init__(self, *, url: str, request: OpenStream) -> None:
        super().__init__(url)
        self._request = request
        self._closing = AsyncExitStack()
        self._events: AsyncIterator[_Event] | None = None
        self._reconnect_seconds: float | None = None
        self._reading = asyncio.Lock()  # a generator has one reader at a time

    async def __aenter__(self) -> Self:
        try:
            response = await self._closing.enter_async_context(self._request())
            await self._check(response)
            self._events = _events(response)
            first = await self._next()
        except BaseException as error:
            await self._closing.aclose()
            if isinstance(error, httpx.TransportError):
                message = f"The feed {self._url} can't be opened: {error!r}."
                raise FeedError(message) from error
            raise
        if first.kind != "ready":
            await self._closing.aclose()
            message = f"The feed {self._url} sent {first.kind!r} first, not `ready`."
            raise FeedError(message, strange=True)
        self.event_id = first.number
        return self

    async def aclose(self) -> None:
        """Close the connection; see ``Closing``."""
        await self._closing.aclose()

    async def __anext__(self) -> FeedItem:
        async with self._reading:
            event = await self._next()
        if event.kind == RESET:
            return FeedItem(type=RESET)
        message = {"type": event.kind, "event_id": event.number, "data": self._json(event.data)}
        return self._returned(self._item(message))

    async def _next(self) -> "_Event":
        if self._events is None:
            raise self._not_open()
        try:
            async for event in self._events:
                if event.retry is not None:
                    self._reconnect_seconds = event.retry / 1000
                if event.kind == "error":
                    raise self._refusal(event)
                if event.data:
                    return event
        except (httpx.TransportError, ValueError) as error:
            message = f"The feed {self._url} was lost: {error!r}. Connect again."
            raise FeedError(message, reconnect_seconds=self._reconnect_seconds) from error
        message = f"The feed {self._url} has ended. Connect again with the last event_id."
        raise FeedError(message, reconnect_seconds=self._reconnect_seconds)

    def _refusal(self, event: "_Event") -> FeedError:
        problem = self._json(event.data).get("problem")
        return FeedError(
            f"The feed {self._url} sent an error: {event.data}",
            code=_CODES.get(str(problem)),
            reconnect_seconds=self._reconnect_seconds,
        )

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code == HTTPStatus.OK:
            return
        await response.aread()
        problem = ProblemError.of(response)
        message = f"The feed {self._url} can't be opened: {problem or response.status_code}."
        raise FeedError(
            message,
            code=_OWN_CODES + response.status_code,
            retry_after=seconds_of(response.headers.get("Retry-After")),
        )

    def _json(self, text: str) -> dict[str, Any]:
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            message = f"The feed {self._url} sent {text[:200]!r}, which is not an item."
            raise FeedError(message, strange=True)
        return data


class _Event:
    """One event: its fields so far."""

    def __init__(self) -> None:
        self.kind = "message"
        self.data = ""
        self.number: int | None = None
        self.retry: int | None = None

    def take(self, line: str) -> None:
        """Add the field of a line; comments and unknown fields have no effect."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self.kind = value
            case "data":
                self.data = f"{self.data}\n{value}" if self.data else value
            case "id" if value.isdecimal():
                self.number = int(value)
            case "retry" if value.isdecimal():
                self.retry = int(value)


async def _events(response: httpx.Response) -> AsyncIterator[_Event]:
    event = _Event()
    async for line in _lines(response):
        if line:
            event.take(line)
        else:
            yield event
            event = _Event()


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines; httpx's own also end at U+2028 and others, which JSON may contain."""
    rest = b""
    async for part in response.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            message = f"a line has more than {_LONGEST_LINE} bytes"
            raise ValueError(message)
        for line in lines:
            yield line.removesuffix(b"\r").decode()
