"""The open WebSockets: messages and close codes pass both ways, until one side ends or is idle."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Message, Receive, Send

_NORMAL = 1000
GOING_AWAY = 1001
_NO_CODE = 1005
_ABNORMAL = 1006
_TOO_BIG = 1009
_INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
UNAVAILABLE = "The service is unavailable. Connect again in a moment."
_CHECK_SECONDS = 1.0

type ServiceSocket = aiohttp.ClientWebSocketResponse[bool]


@dataclass(frozen=True, slots=True)
class Close:
    """How one side ended."""

    code: int
    reason: str = ""


class Client:
    """The client's side of a socket.

    Args:
        receive: returns the next message (ASGI).
        send: sends a message (ASGI).
        heard_at: returns when the last byte of the client arrived, in seconds of `time.monotonic`.
    """

    __slots__ = ("_heard_at", "_receive", "_send", "_sent_at", "gone")

    def __init__(self, receive: Receive, send: Send, heard_at: Callable[[], float]) -> None:
        self._receive = receive
        self._send = send
        self._heard_at = heard_at
        self._sent_at = time.monotonic()
        self.gone = False

    @property
    def silent_since(self) -> float:
        """When something was last passed to the client, or received from it."""
        return max(self._sent_at, self._heard_at())

    async def receive(self) -> Message:
        """Return the next message; note if it is the last."""
        message = await self._receive()
        self.gone = message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Send a message; raise OSError if the client has disconnected."""
        self._sent_at = time.monotonic()
        await self._send(message)

    async def close(self, close: Close) -> None:
        """Close the socket, unless the client has disconnected."""
        if not self.gone:
            with suppress(OSError):  # as servers say that the client has disconnected
                await self._send(
                    {"type": "websocket.close", "code": close.code, "reason": close.reason}
                )


class Relays:
    """Passes on the messages of all open sockets.

    Args:
        idle_seconds: how long neither side may send anything. A client's answer to a ping is
            something that it sends.
        registry: the registry of the counter.
    """

    def __init__(self, *, idle_seconds: float, registry: CollectorRegistry) -> None:
        self._idle_seconds = idle_seconds
        self._open: set[_Relay] = set()
        self._ended = Counter(
            "gateway_websockets_idle",
            "WebSockets that were closed because neither side sent anything.",
            registry=registry,
        )

    async def watch(self) -> None:
        """End idle sockets, within a second or so. A timer for each would cost more memory."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            idle_since = time.monotonic() - self._idle_seconds
            for relay in [one for one in self._open if one.client.silent_since < idle_since]:
                relay.end(self._idle())

    def _idle(self) -> Close:
        self._ended.inc()
        reason = f"Nothing was sent for {self._idle_seconds:g} s. Connect again when needed."
        return Close(GOING_AWAY, reason)

    async def relay(self, client: Client, service: ServiceSocket, first: Message) -> None:
        """Pass messages both ways until one side closes, then close the other in the same way.

        Args:
            client: the accepted socket.
            service: the socket to the service.
            first: the client's first message, which was already received.
        """
        relay = _Relay(client, service, first)
        self._open.add(relay)
        try:
            await relay.run()
        finally:
            self._open.discard(relay)


class _Relay:
    """One open socket: its own task reads from the client, the caller's from the service."""

    __slots__ = ("_close", "_service", "_to_service", "client")

    def __init__(self, client: Client, service: ServiceSocket, first: Message) -> None:
        self.client = client
        self._service = service
        self._close: Close | None = None
        self._to_service = asyncio.create_task(_to_service(client, service, first))

    def end(self, close: Close) -> None:
        """Close the client with `close`, and the service as if the client had gone."""
        if self._close is None:
            self._close = close
            self._to_service.cancel()  # it closes the service's socket, which ends `run`

    async def run(self) -> None:
        try:
            close = await _to_client(self.client, self._service)
            await self.client.close(self._close or close)
        except OSError:
            self.client.gone = True  # `_to_service` learns its code
        finally:
            await self._finish()

    async def _finish(self) -> None:
        """Wait until the service's socket is closed, too."""
        try:
            if not (self.client.gone or self._close):  # else it closes the socket already
                self._to_service.cancel()
            await asyncio.wait((self._to_service,))
        finally:
            await self._service.close(code=GOING_AWAY)
        if not self._to_service.cancelled():
            self._to_service.result()


async def _to_service(client: Client, service: ServiceSocket, message: Message) -> None:
    """Pass on `message` and those after it; close the service's socket as the client closes."""
    end = Close(GOING_AWAY)
    try:
        while message["type"] != "websocket.disconnect":
            if message.get("text") is not None:
                await service.send_str(message["text"])
            else:
                await service.send_bytes(message["bytes"])
            del message  # a waiting task must not hold it
            message = await client.receive()
        code = message.get("code") or _NO_CODE
        sendable = {_NO_CODE: _NORMAL, _ABNORMAL: GOING_AWAY}.get(code, code)
        end = Close(sendable, message.get("reason") or "")
    except (aiohttp.ClientError, OSError):
        # `_to_client` returns how the service ended, unless it finds that the client has gone, too.
        while (await client.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        await service.close(code=end.code, message=end.reason.encode())


async def _to_client(client: Client, service: ServiceSocket) -> Close:
    """Pass the service's messages back; return the service's close, with a code to send."""
    while True:
        message = await service.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            await client.send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await client.send({"type": "websocket.send", "bytes": message.data})
        elif message.type is aiohttp.WSMsgType.CLOSE:
            return Close(message.data or _NORMAL, message.extra or "")
        elif message.type is aiohttp.WSMsgType.ERROR and not _is_lost(message.data):
            too_big = getattr(message.data, "code", None) == _TOO_BIG
            return Close(_TOO_BIG if too_big else _INTERNAL_ERROR)
        else:
            return Close(TRY_AGAIN_LATER, UNAVAILABLE)
        del message  # a waiting task must not hold it


def _is_lost(error: object) -> bool:
    """Return whether an error means that the service is gone: it responds to no ping."""
    return isinstance(error, aiohttp.ClientError)
