"""The live feed on a WebSocket."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from fastapi import WebSocket, WebSocketDisconnect
from opentelemetry import trace

from chassis.auth.principal import InsufficientScope, Principal, Verifier
from chassis.database import is_infrastructure_error
from chassis.errors import DomainError, Unauthenticated, Unavailable
from chassis.http import Router
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
from notifications.wiring import SCOPE, ApiResources, ResourcesDep

router = Router(prefix="/api/v1/notifications", tags=["feed"])
tracer = trace.get_tracer(__name__)

# Codes from 4000 are the application's own (RFC 6455 §7.4.2): 4000 and the HTTP status that fits.
_CODES: Mapping[type[DomainError], int] = {
    MessageTooLarge: 1009,
    MalformedMessage: 4400,
    Unauthenticated: 4401,
    InsufficientScope: 4403,
    TooManyMessages: 4429,
    Unavailable: 1013,
}
_MAX_MESSAGE = 16 * 1024
_BURST = 20  # messages from a client at once, and then one each second
_CLOSE_SECONDS = 5.0


@router.websocket("/ws")
async def follow_feed(websocket: WebSocket, resources: ResourcesDep) -> None:
    """Serve one client: it says who it is, then gets every item, in order, none twice."""
    await websocket.accept()
    socket = _Socket(websocket=websocket, resources=resources)
    try:
        await socket.serve()
    except WebSocketDisconnect:
        return
    except DomainError as error:
        await socket.refuse(error)


class _Socket:
    """One client's socket, from its first message to its end."""

    def __init__(self, *, websocket: WebSocket, resources: ApiResources) -> None:
        self._websocket = websocket
        self._resources = resources
        self._settings = resources.settings
        self._allowance = float(_BURST)
        self._read_at = time.monotonic()

    async def serve(self) -> None:
        """Authenticate, then send and receive until either side ends it."""
        auth = await self._authentication()
        caller = _caller(self._resources.verifier, auth.token)
        connection = Connection(user_id=caller.user_id, token=auth.token)
        connections = self._resources.connections
        with connections.joined(connection):
            start = await self._start(caller, auth.seen)
            connections.place(connection, start.position)
            ended: DomainError | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(self._send_all(connection, start))
                    await self._receive_all()
                    sending.cancel()
            except* DomainError as errors:
                ended = _first(errors)
            except* WebSocketDisconnect:
                pass
        if ended is not None:
            raise ended

    async def refuse(self, error: DomainError) -> None:
        """Say why, and close; a client that reads nothing is left after a while."""
        code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send(schemas.problem(error.detail))
                await self._websocket.close(code)

    async def _authentication(self) -> schemas.AuthMessage:
        seconds = self._settings.feed_auth_seconds
        try:
            async with asyncio.timeout(seconds):
                return schemas.read_message(await self._receive(), schemas.AuthMessage)
        except TimeoutError as error:
            message = f"send the message `auth` with your access token within {seconds:g} s"
            raise AuthenticationMissing(message) from error

    async def _start(self, caller: Principal, seen: int | None) -> Start:
        try:
            async with self._resources.database.transaction() as session:
                return await self._resources.feed(session).start(caller.user_id, seen)
        except Exception as error:
            if not is_infrastructure_error(error):
                raise
            message = "the database does not answer: connect again in a moment"
            raise Unavailable(message) from error

    async def _send_all(self, connection: Connection, start: Start) -> None:
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
            message = f"a message took over {seconds:g} s: connect again with your last_event_id"
            raise TooSlow(message) from error

    async def _send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except RuntimeError as error:  # what uvicorn raises once it has closed the socket itself
            raise WebSocketDisconnect(code=1006) from error

    async def _receive_all(self) -> None:
        while True:
            schemas.read_message(await self._receive(), schemas.PongMessage)

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(code=message.get("code", 1006))
        self._count()
        text = message.get("text")
        if text is None:
            detail = "send text messages: the feed takes no binary ones"
            raise MalformedMessage(detail)
        if len(text) > _MAX_MESSAGE:
            detail = f"a message may have {_MAX_MESSAGE} characters at most"
            raise MessageTooLarge(detail)
        return str(text)

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + now - self._read_at) - 1
        self._read_at = now
        if self._allowance < 0:
            detail = f"send {_BURST} messages at once at most, and then one each second"
            raise TooManyMessages(detail, retry_after=1)


def _caller(verifier: Verifier, token: str) -> Principal:
    try:
        caller = verifier.verify(token)
    except ValueError as error:
        raise Unauthenticated(str(error)) from error
    if SCOPE not in caller.scopes:
        message = f"this needs the scope {SCOPE}"
        raise InsufficientScope(message, extra={"scope": SCOPE})
    return caller


def _first(errors: BaseExceptionGroup[DomainError]) -> DomainError:
    first = errors.exceptions[0]
    return first if isinstance(first, DomainError) else _first(first)
