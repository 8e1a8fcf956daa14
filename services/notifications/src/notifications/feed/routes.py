"""The WebSocket route of the live feed."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from fastapi import WebSocket, WebSocketDisconnect
from opentelemetry import trace

from chassis.auth.principal import InsufficientScope, Principal, Verifier
from chassis.database import is_infrastructure_error
from chassis.errors import DomainError, Unauthenticated, Unavailable
from chassis.http import Router
from chassis.http.problems import status_of
from chassis.telemetry.tracing import span_from
from notifications.feed import schemas
from notifications.feed.errors import (
    AuthenticationMissing,
    MalformedMessage,
    MessageTooLarge,
    TooManyMessages,
    TooSlow,
)
from notifications.feed.repository import Item
from notifications.feed.service import Connection, Start
from notifications.feed.wiring import Resources, ResourcesDep, feed
from notifications.kinds.wiring import SCOPE

router = Router(prefix="/api/v1/notifications", tags=["feed"])
tracer = trace.get_tracer(__name__)

# The errors for which RFC 6455 or its registry has a close code.
_CODES: Mapping[type[DomainError], int] = {MessageTooLarge: 1009, Unavailable: 1013}
_INTERNAL_ERROR = 1011
_FIRST_OF_OUR_OWN = 4000  # to 4999 (RFC 6455 §7.4.2)
_MAX_MESSAGE = 16 * 1024
_BURST = 20  # messages that a client may send at once; after them, one each second
_CLOSE_SECONDS = 5.0


@router.websocket("/ws")
async def follow_feed(websocket: WebSocket, resources: ResourcesDep) -> None:
    """Serve one client: authenticate it, then send every item in order, each once."""
    await websocket.accept()
    socket = _Socket(websocket=websocket, resources=resources)
    try:
        await socket.serve()
    except WebSocketDisconnect:
        return
    except DomainError as error:
        await socket.refuse(error)


def close_code(error: type[DomainError]) -> int:
    """Return the close code of a type of error.

    If no registered code fits, it is 4000 plus the HTTP status (4401, 4403, 4429), or 1011 for a
    status of 500 and above.
    """
    for kind, code in _CODES.items():
        if issubclass(error, kind):
            return code
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _INTERNAL_ERROR
    return _FIRST_OF_OUR_OWN + status


class _Socket:
    """One client's socket, from its first message to its close."""

    def __init__(self, *, websocket: WebSocket, resources: Resources) -> None:
        self._websocket = websocket
        self._resources = resources
        self._settings = resources.settings
        self._allowance = float(_BURST)
        self._read_at = time.monotonic()

    async def serve(self) -> None:
        """Authenticate the client, then send and receive until either side closes the socket."""
        auth = await self._authentication()
        caller = _caller(self._resources.verifier, auth.token)
        connection = Connection(principal=caller)
        connections = self._resources.connections
        with connections.joined(connection):
            start = await self._start(caller, auth.seen)
            connections.place(connection, start.position)
            ended: DomainError | None = None
            try:
                # Both run until one raises; the group then cancels the other one.
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send_all(connection, start))
                    await self._receive_all()
            except* DomainError as errors:
                ended = _first(errors)
            except* WebSocketDisconnect:
                pass
        if ended is not None:
            raise ended

    async def refuse(self, error: DomainError) -> None:
        """Send the reason and close the socket. Give up after 5 s if the client does not read."""
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send(schemas.problem(error.detail))
                await self._websocket.close(close_code(type(error)))

    async def _authentication(self) -> schemas.AuthMessage:
        seconds = self._settings.feed_auth_seconds
        try:
            async with asyncio.timeout(seconds):
                return schemas.read_message(await self._receive(), schemas.AuthMessage)
        except TimeoutError as error:
            message = (
                f"No message `auth` arrived within {seconds:g} s. Connect again, and send one "
                "with your access token at once."
            )
            raise AuthenticationMissing(message) from error

    async def _start(self, caller: Principal, seen: int | None) -> Start:
        try:
            async with self._resources.database.transaction() as unit:
                return await feed(self._resources, unit).find_start(caller.user_id, seen)
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            message = "The database is unavailable. Connect again in a moment."
            raise Unavailable(message) from error

    async def _send_all(self, connection: Connection, start: Start) -> NoReturn:
        await self._send_in_time(schemas.ready(start.position))
        if start.reset:
            await self._send_in_time(schemas.RESET)
        ping_at = time.monotonic() + self._settings.feed_ping_seconds
        while True:
            try:
                async with asyncio.timeout(ping_at - time.monotonic()):
                    items = await self._resources.connections.next_items(connection)
            except TimeoutError:
                await self._send_in_time(schemas.PING)
                ping_at = time.monotonic() + self._settings.feed_ping_seconds
                continue
            for item in items:
                await self._push(item)

    async def _push(self, item: Item) -> None:
        headers = {} if item.traceparent is None else {"traceparent": item.traceparent}
        with span_from(
            tracer,
            "notifications push",
            headers,
            kind=trace.SpanKind.PRODUCER,
            attributes={"feed.event_id": item.event_id, "feed.type": item.type},
        ):
            await self._send_in_time(schemas.item(item))

    async def _send_in_time(self, text: str) -> None:
        seconds = self._settings.feed_stall_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._send(text)
        except TimeoutError as error:
            message = (
                f"The client took over {seconds:g} s to read a message. Read faster, and connect "
                "again with your last_event_id."
            )
            raise TooSlow(message) from error

    async def _send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except RuntimeError as error:  # uvicorn raises this once it has closed the socket itself
            raise WebSocketDisconnect(code=1006) from error

    async def _receive_all(self) -> NoReturn:
        while True:
            schemas.read_message(await self._receive(), schemas.PongMessage)

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(code=message.get("code", 1006))
        self._count()
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

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + now - self._read_at) - 1
        self._read_at = now
        if self._allowance < 0:
            detail = (
                f"The client sent too many messages. The feed accepts {_BURST} at once, then one "
                "each second. Send fewer."
            )
            raise TooManyMessages(detail, retry_after=1)


def _caller(verifier: Verifier, token: str) -> Principal:
    try:
        caller = verifier.verify(token)
    except ValueError as error:
        raise Unauthenticated(str(error)) from error
    if SCOPE not in caller.scopes:
        message = f"The access token lacks the scope {SCOPE}. Use one that has it."
        raise InsufficientScope(message, extra={"scope": SCOPE})
    return caller


def _first(errors: BaseExceptionGroup[DomainError]) -> DomainError:
    first = errors.exceptions[0]
    return first if isinstance(first, DomainError) else _first(first)
