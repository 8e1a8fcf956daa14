"""The WebSocket route of the live feed."""

import asyncio
import contextlib
import time
from functools import partial
from typing import Any, NoReturn

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Receive, Send

from chassis.auth.principal import Principal
from chassis.cancellation import GuardedTaskGroup
from chassis.database import is_infrastructure_error
from chassis.error_text import leaves
from chassis.errors import DomainError, Unavailable
from chassis.handover import hand_over
from chassis.http import Router
from notifications.feed.models import Transport
from notifications.feed.repository import Item
from notifications.feed.service import Connection, sent_in_time
from notifications.feed.wiring import (
    CLIENT_CLOSED,
    Resources,
    ResourcesDep,
    caller_of,
    close_code,
    pushing,
    start_of,
)
from notifications.notifications.schemas import NotificationOut
from notifications.notifications.wiring import notifications
from notifications.sockets import schemas
from notifications.sockets.errors import AuthenticationMissing, MalformedMessage, MessageTooLarge
from notifications.sockets.schemas import (
    Command,
    FilterCommand,
    MarkReadCommand,
    PingCommand,
    RenewCommand,
)
from notifications.sockets.service import Filter, MessageBudget, renew

router = Router(prefix="/api/v1/notifications", tags=["feed"])

_MESSAGE_TOO_BIG = 1009  # RFC 6455 §7.4.1
_MAX_MESSAGE = 16 * 1024
_CLOSE_SECONDS = 5.0


@router.websocket("/ws")
async def follow_feed(websocket: WebSocket, resources: ResourcesDep) -> None:
    """Serve one client: authenticate it, then send every item in order, each once."""
    await websocket.accept()
    hand_over(websocket.scope, partial(_converse, resources))


async def _converse(resources: Resources, receive: Receive, send: Send) -> None:
    socket = _Socket(receive=receive, send=send, resources=resources)
    closes = resources.connections.metrics.closes
    try:
        await socket.serve()
    except WebSocketDisconnect:
        closes.labels(Transport.WEBSOCKET, CLIENT_CLOSED).inc()
    except DomainError as error:
        code = code_of(type(error))
        closes.labels(Transport.WEBSOCKET, code).inc()
        await socket.refuse(error, code)


def code_of(error: type[DomainError]) -> int:
    """Return the close code of a type of error on a socket."""
    return _MESSAGE_TOO_BIG if issubclass(error, MessageTooLarge) else close_code(error)


class _Socket:
    """One client's socket, from its first message to its close."""

    __slots__ = (
        "_budget",
        "_filter",
        "_pinged_at",
        "_receive_message",
        "_resources",
        "_send_message",
        "_settings",
    )

    def __init__(self, *, receive: Receive, send: Send, resources: Resources) -> None:
        self._receive_message = receive
        self._send_message = send
        self._resources = resources
        self._settings = resources.settings
        self._budget = MessageBudget()
        self._filter = Filter()
        self._pinged_at: float | None = None

    async def serve(self) -> NoReturn:
        """Authenticate the client, then send and receive until either side closes the socket."""
        connection, seen = await self._authenticated()
        with self._resources.connections.joined(connection):
            start = await start_of(self._resources, connection.principal, seen)
            self._resources.connections.place(connection, start.position)
            # Before any result: commands may have arrived together with `auth`.
            await self._send_in_time(schemas.ready(start.position))
            if start.reset:
                await self._send_in_time(schemas.RESET)
            try:
                # Both run until one raises; the group then cancels the other one.
                async with GuardedTaskGroup() as group:
                    group.create_task(self._send_all(connection))
                    await self._receive_all(connection)
            except* (DomainError, WebSocketDisconnect) as errors:
                ended = next(iter(leaves(errors)))
            raise ended

    async def refuse(self, error: DomainError, code: int) -> None:
        """Send the reason and close the socket. Give up after 5 s if the client does not read."""
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send(schemas.closing(error))
                await self._send_message({"type": "websocket.close", "code": code})

    async def _authenticated(self) -> tuple[Connection, int | None]:
        """Return the connection and what its client has seen; the token goes out of memory."""
        seconds = self._settings.feed_auth_seconds
        try:
            async with asyncio.timeout(seconds):
                auth = schemas.read_message(await self._receive(), schemas.AuthMessage)
        except TimeoutError as error:
            message = (
                f"No message `auth` arrived within {seconds:g} s. Connect again, and send one "
                "with your access token at once."
            )
            raise AuthenticationMissing(message) from error
        caller = caller_of(self._resources, auth.token)
        return Connection(principal=caller, transport=Transport.WEBSOCKET), auth.seen

    async def _send_all(self, connection: Connection) -> None:
        followed = self._resources.connections.follow(
            connection, ping_seconds=self._settings.feed_ping_seconds
        )
        async with contextlib.aclosing(followed):
            async for items in followed:
                if not items:
                    self._pinged_at = time.monotonic()
                    await self._send_in_time(schemas.PING)
                for item in items:
                    await self._push(connection, item)

    async def _push(self, connection: Connection, item: Item) -> None:
        if self._filter.accepts(item):
            with pushing(self._resources, connection, item):
                await self._send_in_time(schemas.item(item))

    async def _send_in_time(self, text: str) -> None:
        await sent_in_time(self._send(text), seconds=self._settings.feed_stall_seconds)

    async def _send(self, text: str) -> None:
        try:
            await self._send_message({"type": "websocket.send", "text": text})
        # OSError: the client is gone. RuntimeError: uvicorn has closed the socket itself.
        except (OSError, RuntimeError) as error:
            raise WebSocketDisconnect(code=1006) from error

    async def _receive_all(self, connection: Connection) -> NoReturn:
        while True:
            text = await self._receive()
            document = schemas.read_object(text)
            if document.get("type") == "pong":
                self._take_pong()
            else:
                await self._send_in_time(await self._answer(connection, document, text))

    def _take_pong(self) -> None:
        if self._pinged_at is not None:
            seconds = time.monotonic() - self._pinged_at
            self._resources.connections.metrics.ping.observe(seconds)
            self._pinged_at = None

    async def _answer(self, connection: Connection, document: dict[str, Any], text: str) -> str:
        try:
            command = schemas.read_command(document, text)
            return schemas.result(command, await self._obey(connection, command))
        except DomainError as error:
            return schemas.refusal(schemas.id_of(document), error)

    async def _obey(self, connection: Connection, command: Command) -> dict[str, Any]:
        match command:
            case MarkReadCommand():
                return await self._mark_read(connection.principal, command)
            case FilterCommand():
                self._filter.choose(command.categories)
                return {}
            case RenewCommand():
                expires_at = renew(
                    connection, command.token, lambda token: caller_of(self._resources, token)
                )
                return {"expires_at": schemas.time_of(expires_at)}
            case PingCommand():
                return {}

    async def _mark_read(self, caller: Principal, command: MarkReadCommand) -> dict[str, Any]:
        try:
            async with self._resources.database.transaction() as unit:
                marked = await notifications(self._resources, unit).mark_read(
                    caller.user_id, command.notification_id
                )
                return NotificationOut.model_validate(marked).model_dump(mode="json")
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            message = "The database is unavailable. Send the command again in a moment."
            raise Unavailable(message) from error

    async def _receive(self) -> str:
        message = await self._receive_message()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(code=message.get("code", 1006))
        self._budget.count()
        text = message.get("text")
        if text is None:
            detail = (
                "The message is binary. The feed accepts only text messages. Send JSON as text."
            )
            raise MalformedMessage(detail)
        if len(text) > _MAX_MESSAGE:
            detail = (
                f"The message has {len(text)} characters. The feed accepts {_MAX_MESSAGE}. Send a "
                "shorter one."
            )
            raise MessageTooLarge(detail)
        return str(text)
