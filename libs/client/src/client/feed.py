"""The live feed over a WebSocket: one connection, from `ready` to the close, and its commands."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, Literal, Self
from uuid import UUID

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidStatus,
    WebSocketException,
)

from client.errors import CommandError, FeedError
from client.items import Connected, FeedItem
from client.notifications import Notification
from client.retries import seconds_of
from client.shapes import Answer

_CLOSE_SECONDS: Final = 2


class _Renewed(Answer):
    expires_at: datetime


class Feed(Connected):
    """One connection over a WebSocket.

    Entering it connects, sends the token in the first message and waits for `ready`. The token is
    not part of the URL, since URLs end up in logs. ``FollowedFeed`` connects again.

    Commands may be sent at any time, by any task, whether or not another one waits for an item.
    Each waits for its own result. Items that arrive before it are kept for the iteration.

    Args:
        url: the `ws:` or `wss:` URL of the feed.
        token: an access token.
        last_event_id: the last item that the caller has seen. None starts with new items, 0 with
            the oldest item that the server keeps.
        timeout: seconds to wait for the connection, for `ready`, and for a command's result.
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
        super().__init__(url)
        self._auth: dict[str, Any] = {"type": "auth", "token": token}
        if last_event_id is not None:
            self._auth["last_event_id"] = last_event_id
        self._timeout = timeout
        self._proxy: Literal[True] | None = True if trust_env else None
        self._connection: ClientConnection | None = None
        self._ids = itertools.count(1)
        self._items: deque[FeedItem] = deque()
        # The messages that answer commands, by the command's id; None until it has arrived.
        self._results: dict[str, dict[str, Any] | None] = {}
        # Who waits for an item or a result reads for all. There is no task that reads by itself, so
        # a caller that takes no items is not sent more than the connection's buffers hold.
        self._reading = asyncio.Lock()

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

    async def aclose(self) -> None:
        """Close the connection; see ``Closing``."""
        if self._connection is not None:
            await self._connection.close()

    async def __anext__(self) -> FeedItem:
        while not self._items:
            try:
                await self._read(self._open())
            except ConnectionClosedOK:
                if self._items:
                    break
                raise StopAsyncIteration from None
        return self._returned(self._items.popleft())

    async def mark_read(self, notification_id: UUID) -> Notification:
        """Mark a notification as read, and return it.

        Raises:
            CommandError: as any command, if the server refuses it.
            FeedError: likewise, if the connection ends before the result, or no result arrives in
                time. The command may have taken effect.
        """
        result = await self._command("mark_read", notification_id=str(notification_id))
        return self._shaped(Notification, result)

    async def choose_categories(self, categories: Collection[str] | None) -> None:
        """Receive only notifications of these categories from now on; None: all again.

        Items that are left out are not sent later, unless the feed is resumed before them. Their
        event ids are missing in between.
        """
        wanted = None if categories is None else [*categories]
        await self._command("filter", categories=wanted)

    async def renew(self, token: str) -> datetime:
        """Continue with a newer access token of the same user, and return when it expires."""
        return self._shaped(_Renewed, await self._command("renew", token=token)).expires_at

    async def ping(self) -> None:
        """Wait for an answer of the server, to test the connection."""
        await self._command("ping")

    async def _command(self, kind: str, **fields: object) -> object:
        connection = self._open()
        number = str(next(self._ids))
        self._results[number] = None
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send(json.dumps({"type": kind, "id": number, **fields}))
                while (answer := self._results[number]) is None:
                    await self._read(connection, until=number)
        except TimeoutError as error:
            message = (
                f"The feed {self._url} sent no result of `{kind}` within {self._timeout} s. It may "
                "have taken effect."
            )
            raise FeedError(message) from error
        except ConnectionClosed as error:
            message = (
                f"The feed {self._url} was closed before the result of `{kind}`: {error}. It may "
                "have taken effect. Connect again."
            )
            raise FeedError(message, code=_code_of(error)) from error
        finally:
            del self._results[number]
        if answer["type"] == "error":
            raise CommandError(str(answer.get("problem")), str(answer.get("detail")))
        return answer.get("data")

    def _shaped[Shape: Answer](self, shape: type[Shape], data: object) -> Shape:
        try:
            return shape.model_validate(data)
        except ValidationError as error:
            strange = (
                f"The feed {self._url} sent a result that is not a {shape.__name__}: {error}. "
                "Update this client."
            )
            raise FeedError(strange, strange=True) from error

    async def _read(self, connection: ClientConnection, *, until: str | None = None) -> None:
        """Read a message, unless another task has read meanwhile what the caller waits for."""
        async with self._reading:
            there = self._items if until is None else self._results[until]
            if not there:
                self._keep(await self._receive(connection))

    def _keep(self, message: dict[str, Any]) -> None:
        answers = message["type"] == "result" or message["type"] == "error"
        if answers and message.get("id") in self._results:
            self._results[message["id"]] = message
        elif not answers and message["type"] != "ping":
            self._items.append(self._item(message))
        # Else it is the result of a command for which nobody waits any longer.

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._url,
                proxy=self._proxy,
                open_timeout=self._timeout,
                close_timeout=_CLOSE_SECONDS,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            refusal = error.response if isinstance(error, InvalidStatus) else None
            waits = () if refusal is None else refusal.headers.get_all("Retry-After")
            message = (
                f"The feed {self._url} can't be opened: {error!r}. Check the address of the "
                "gateway."
            )
            raise FeedError(
                message,
                code=None if refusal is None else refusal.status_code,
                retry_after=seconds_of(next(iter(waits), None)),
            ) from error

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
        if message["type"] == "error" and "id" not in message:
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
        """Return the error of a last message; the close code that follows classifies it."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            await connection.close()
        text = f"The feed {self._url} sent an error: {message}"
        wanted = message.get("reconnect_ms")  # of a process that stops: it spreads its clients
        seconds = wanted / 1000 if isinstance(wanted, int) else None
        return FeedError(text, code=connection.close_code, reconnect_seconds=seconds)

    def _open(self) -> ClientConnection:
        if self._connection is None:
            raise self._not_open()
        return self._connection


def _decode(text: str | bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def _code_of(error: ConnectionClosed) -> int | None:
    return None if error.rcvd is None else error.rcvd.code
