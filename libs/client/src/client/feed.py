"""The live feed over a WebSocket: one connection, from `ready` to the close."""

import asyncio
import json
from types import TracebackType
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidStatus,
    WebSocketException,
)

from client.errors import FeedError
from client.shapes import Answer

RESET: Final = "reset"
_CONTROL = {"ping"}
_CLOSE_SECONDS = 2


class FeedItem(Answer):
    """One item of the live feed.

    `type` is `notification`, `order`, or one that a newer server has added. `reset` means that the
    server does not keep all items after `last_event_id`, or never issued that id: read the lists
    again.
    """

    type: str
    event_id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Feed:
    """An async context manager and iterator over the items of one connection.

    Entering it connects, sends the token in the first message and waits for `ready`. The token is
    not part of the URL, since URLs end up in logs. The iteration ends when the server closes the
    connection normally. ``FollowedFeed`` connects again.

    Args:
        url: the `ws:` or `wss:` URL of the feed.
        token: an access token.
        last_event_id: the last item that the caller has seen. None starts with new items, 0 with
            the oldest item that the server keeps.
        timeout: seconds to wait for the connection, and again for `ready`.
        trust_env: whether to use the proxies that the environment names.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        last_event_id: int | None = None,
        timeout: float = 10.0,
        trust_env: bool = True,
    ) -> None:
        self.event_id: int | None = None
        """The feed's position: the `event_id` of `ready`, then of the last item received."""
        self._url = url
        self._auth: dict[str, Any] = {"type": "auth", "token": token}
        if last_event_id is not None:
            self._auth["last_event_id"] = last_event_id
        self._timeout = timeout
        self._proxy: Literal[True] | None = True if trust_env else None
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        connection = await self._connect()
        self._connection = connection
        try:
            async with asyncio.timeout(self._timeout):
                await self._authenticate(connection)
        except BaseException as error:
            await connection.close()
            if isinstance(error, TimeoutError):
                message = (
                    f"The feed {self._url} sent no `ready` within {self._timeout} s. Connect "
                    "again, or raise the timeout."
                )
                raise FeedError(message) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open().close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FeedItem:
        connection = self._open()
        while True:
            try:
                message = await self._receive(connection)
            except ConnectionClosedOK:
                raise StopAsyncIteration from None
            if message["type"] not in _CONTROL:
                return self._item(message)

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._url,
                proxy=self._proxy,
                open_timeout=self._timeout,
                close_timeout=_CLOSE_SECONDS,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            status = error.response.status_code if isinstance(error, InvalidStatus) else None
            message = (
                f"The feed {self._url} can't be opened: {error!r}. Check the address of the "
                "gateway."
            )
            raise FeedError(message, code=status) from error

    async def _authenticate(self, connection: ClientConnection) -> None:
        try:
            await connection.send(json.dumps(self._auth))
            message = await self._receive(connection)
        except ConnectionClosed as error:
            closed = f"The feed {self._url} was closed before `ready`: {error}. Connect again."
            raise FeedError(closed, code=_code_of(error)) from error
        if message["type"] != "ready":
            unexpected = (
                f"The feed {self._url} sent {message!r} first, not `ready`. Check the address of "
                "the gateway."
            )
            raise FeedError(unexpected, strange=True)
        self.event_id = message.get("event_id")

    async def _receive(self, connection: ClientConnection) -> dict[str, Any]:
        text = await self._text(connection)
        message = _decode(text)
        if message is None:
            strange = (
                f"The feed {self._url} sent {text[:200]!r}, which is not a message of the feed. "
                "Check the address of the gateway."
            )
            raise FeedError(strange, strange=True)
        if message["type"] == "error":
            raise await self._refusal(connection, message)
        return message

    async def _text(self, connection: ClientConnection) -> str | bytes:
        try:
            return await connection.recv()
        except ConnectionClosedOK:
            raise
        except ConnectionClosed as error:
            lost = (
                f"The feed {self._url} was closed: {error}. Connect again with the last event_id."
            )
            raise FeedError(lost, code=_code_of(error)) from error

    async def _refusal(self, connection: ClientConnection, message: dict[str, Any]) -> FeedError:
        """Return the error of a message `error`; the close code that follows classifies it."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            await connection.close()
        text = f"The feed {self._url} sent an error: {message}"
        wanted = message.get("reconnect_ms")  # of a process that stops: it spreads its clients
        seconds = wanted / 1000 if isinstance(wanted, int) else None
        return FeedError(text, code=connection.close_code, reconnect_seconds=seconds)

    def _item(self, message: dict[str, Any]) -> FeedItem:
        try:
            item = FeedItem.model_validate(message)
        except ValidationError as error:
            strange = (
                f"The feed {self._url} sent an item that is not valid: {error}. Update this client."
            )
            raise FeedError(strange, strange=True) from error
        if item.event_id is not None:
            self.event_id = item.event_id
        return item

    def _open(self) -> ClientConnection:
        if self._connection is None:
            unopened = "The feed is not open. Use it in an `async with`."
            raise FeedError(unopened)
        return self._connection


def _decode(text: str | bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def _code_of(error: ConnectionClosed) -> int | None:
    return None if error.rcvd is None else error.rcvd.code
