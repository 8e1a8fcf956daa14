"""The live feed over a WebSocket: one connection, from `ready` to the close."""

import asyncio
import json
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, WebSocketException

from client.errors import FeedError
from client.models import FeedItem

_CONTROL = {"ping"}


class Feed:
    """An async context manager and iterator over a user's live items.

    Entering it connects, sends the token in the first message and waits for `ready`. The token is
    not part of the URL, since URLs end up in logs. The iteration ends when the server closes the
    connection normally.

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
        try:
            connection = await connect(
                self._url, proxy=self._proxy, open_timeout=self._timeout, close_timeout=2
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            message = (
                f"The feed {self._url} can't be opened: {error!r}. Check the address of the "
                "gateway."
            )
            raise FeedError(message) from error
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

    async def _authenticate(self, connection: ClientConnection) -> None:
        try:
            await connection.send(json.dumps(self._auth))
            message = await self._receive(connection)
        except ConnectionClosedOK as error:
            message_text = (
                f"The feed {self._url} was closed before `ready`: {error}. Connect again."
            )
            raise FeedError(message_text) from error
        if message["type"] != "ready":
            unexpected = (
                f"The feed {self._url} sent {message!r} first, not `ready`. Check the address of "
                "the gateway."
            )
            raise FeedError(unexpected)
        self.event_id = message.get("event_id")

    async def _receive(self, connection: ClientConnection) -> dict[str, Any]:
        try:
            text = await connection.recv()
        except ConnectionClosedOK:
            raise
        except ConnectionClosed as error:
            lost = (
                f"The feed {self._url} was closed: {error}. Connect again with the last event_id."
            )
            raise FeedError(lost) from error
        message = _decode(text)
        if message is None:
            strange = (
                f"The feed {self._url} sent {text[:200]!r}, which is not a message of the feed. "
                "Check the address of the gateway."
            )
            raise FeedError(strange)
        if message["type"] == "error":
            refused = f"The feed {self._url} sent an error: {message}"
            raise FeedError(refused)
        return message

    def _item(self, message: dict[str, Any]) -> FeedItem:
        try:
            item = FeedItem.model_validate(message)
        except ValidationError as error:
            strange = (
                f"The feed {self._url} sent an item that is not valid: {error}. Update this client."
            )
            raise FeedError(strange) from error
        if item.event_id is not None:
            self.event_id = item.event_id
        return item

    def _open(self) -> ClientConnection:
        if self._connection is None:
            unopened = "The feed is not open. Use `async with client.feed(token) as feed`."
            raise FeedError(unopened)
        return self._connection


def _decode(text: str | bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None
