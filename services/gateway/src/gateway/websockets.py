"""The WebSocket data path: it passes messages and close codes both ways.

The gateway accepts a socket itself, and connects to the service when the client's first message has
arrived. A silent socket needs no connection to a service, and is closed after
`Route.first_message_seconds`.

Pings are not passed on: each side has its own, so that a dead peer is detected on its side.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.errors import DomainError, Unavailable
from chassis.http.context import request_id_of
from chassis.http.failures import failure_response
from gateway.addresses import Addresses, Origin
from gateway.admission import Admission, ScopedRequest
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.guards.guard import Guard, Result, result_of
from gateway.headers import Kinds, RequestHead, read_head, upstream_fields
from gateway.opaque import text_of
from gateway.paths import check_path, target_of
from gateway.routes import Route
from gateway.socket_bounds import SocketBounds, SocketPlace
from gateway.tracing import ROUTE, Traces
from gateway.upstreams import Upstream

_NORMAL = 1000
_GOING_AWAY = 1001
_PROTOCOL_ERROR = 1002
_NO_CODE = 1005
_ABNORMAL = 1006
_TOO_BIG = 1009
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_BAD_GATEWAY = 1014
_FIRST_OF_OUR_OWN = 4000  # plus the HTTP status that fits (RFC 6455 §7.4.2)
_UNAUTHENTICATED = 4401
_CLOSE_SECONDS = 1.0
_REFUSALS = range(400, 500)
_HANDSHAKE_FIELDS = b"sec-websocket-"
_UNAVAILABLE = "The service is unavailable. Connect again in a moment."

type ServiceSocket = aiohttp.ClientWebSocketResponse[bool]


@dataclass(frozen=True, slots=True)
class _Close:
    """How one side ended."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Handshake:
    """A client's request for a WebSocket that the gateway grants.

    Attributes:
        route: the entry in the table.
        origin: where the request came from.
        head: its fields.
        subprotocol: the chosen subprotocol, if any.
    """

    route: Route
    origin: Origin
    head: RequestHead
    subprotocol: str | None


class Sockets:
    """Serves the WebSockets of the route table.

    Args:
        upstreams: the services, by their names in the route table.
        guards: decide whether a service gets another handshake, by the same names.
        admission: decides whether a request may pass.
        addresses: finds the client's address.
        bounds: limit the number of sockets.
        traces: opens the span of the handshake.
    """

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        guards: Mapping[str, Guard],
        admission: Admission,
        addresses: Addresses,
        bounds: SocketBounds,
        traces: Traces,
    ) -> None:
        self._upstreams = upstreams
        self._guards = guards
        self._admission = admission
        self._addresses = addresses
        self._kinds = Kinds()
        self._bounds = bounds
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket (ASGI)."""
        client = WebSocket(scope, receive, send)
        await client.receive()  # the request to connect
        with ExitStack() as stack:
            try:
                handshake = await self._handshake(scope)
                place = stack.enter_context(self._bounds.place(handshake.origin.client))
            except (Refused, DomainError) as error:
                await _refuse(client, answer_to(_request(scope), error), receive)
                return
            except Exception as error:  # noqa: BLE001 - it is logged, and answered as HTTP's are
                await _refuse(client, failure_response(_request(scope), error), receive)
                return
            with suppress(WebSocketDisconnect):
                await client.accept(subprotocol=handshake.subprotocol)
                await self._serve(client, handshake, place)

    async def _handshake(self, scope: Scope) -> _Handshake:
        route: Route | None = scope[ROUTE]
        check_path(scope["raw_path"])
        if route is None:
            message = (
                f"No WebSocket has the path {scope['path']}. See /docs for the paths of the API."
            )
            raise Refused(404, message)
        head = read_head(scope["headers"], self._kinds, version=scope["http_version"])
        request = ScopedRequest(scope, self._addresses)
        admitted = request.passed(await self._admission.admit(request, head, route))
        offered = scope["subprotocols"]
        chosen = next((name for name in offered if name in route.subprotocols), None)
        return _Handshake(route, admitted.origin, head, chosen)

    async def _serve(self, client: WebSocket, handshake: _Handshake, place: SocketPlace) -> None:
        seconds = handshake.route.first_message_seconds
        try:
            async with asyncio.timeout(seconds):
                first = await client.receive()
        except TimeoutError:
            reason = f"No message came within {seconds:g} s. Connect again, and send one at once."
            await client.close(_UNAUTHENTICATED, reason)
            return
        if first["type"] == "websocket.disconnect":
            return
        place.spoke()
        try:
            service = await self._connect(client.scope, handshake)
        except _NotServed as error:
            await client.close(error.code, str(error))
        else:
            await _relay(client, service, first)

    async def _connect(self, scope: Scope, handshake: _Handshake) -> ServiceSocket:
        route = handshake.route
        lines = upstream_fields(
            handshake.head,
            origin=handshake.origin,
            scheme=scope["scheme"],
            request_id=request_id_of(scope),
        )
        fields = [
            (name.decode("latin-1"), text_of(value))
            for name, value in lines
            if not name.startswith(_HANDSHAKE_FIELDS)
        ]
        wanted = handshake.subprotocol
        upstream = self._upstreams[route.service]
        guard = self._guards[route.service]
        with self._traces.server_span(scope), _translated(upstream), _guarded(guard):
            baggage = [text_of(value) for value in handshake.head.baggage or ()]
            fields += self._traces.upstream_fields(scope, baggage)
            async with asyncio.timeout(route.timeout):
                service = await upstream.websocket(
                    target_of(scope), fields=fields, protocols=(wanted,) if wanted else ()
                )
        if service.protocol != wanted:
            await service.close(code=_PROTOCOL_ERROR)
            reason = f"The service did not accept the subprotocol {wanted}. Connect without it."
            raise _NotServed(_BAD_GATEWAY, reason)
        return service


class _NotServed(Exception):
    """The gateway got no socket to the service. Holds the reason and the client's close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@contextmanager
def _translated(upstream: Upstream) -> Iterator[None]:
    """Raise _NotServed, with a close code, in place of the errors of a service's handshake."""
    try:
        yield
    except TimeoutError as error:
        upstream.timed_out()
        raise _NotServed(_TRY_AGAIN_LATER, _UNAVAILABLE) from error
    except Unavailable as error:
        raise _NotServed(_TRY_AGAIN_LATER, _UNAVAILABLE) from error
    except Refused as error:
        reason = "The service returned no valid response. Connect again in a moment."
        raise _NotServed(_BAD_GATEWAY, reason) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status not in _REFUSALS:
            raise _NotServed(_TRY_AGAIN_LATER, _UNAVAILABLE) from error
        reason = f"The service rejected the WebSocket with the status {error.status}."
        raise _NotServed(_FIRST_OF_OUR_OWN + error.status, reason) from error


@contextmanager
def _guarded(guard: Guard) -> Iterator[None]:
    """Open a socket to a service if its guard allows it, and tell the guard how that ended.

    The open socket counts no longer: it stays open for hours.

    Raises:
        Unavailable: the service fails or is overloaded. No handshake was sent.
    """
    began = time.monotonic()
    permit = guard.begin(began)
    result = Result.FAILED
    try:
        yield
        result = Result.RESPONSE
    except aiohttp.WSServerHandshakeError as error:
        result = result_of(error.status)
        raise
    except TimeoutError:
        result = Result.TIMED_OUT
        raise
    except asyncio.CancelledError:
        result = Result.UNKNOWN  # the client has gone
        raise
    finally:
        now = time.monotonic()
        guard.end(permit, now, result, seconds=now - began)


async def _relay(client: WebSocket, service: ServiceSocket, first: Message) -> None:
    """Pass messages both ways until one side closes, then close the other side in the same way.

    Args:
        client: the accepted socket.
        service: the socket to the service.
        first: the client's first message, which was already received.
    """
    try:
        ended_by_client = asyncio.create_task(_to_service(client, service, first))
        ended_by_service = asyncio.create_task(_to_client(client, service))
        both = (ended_by_client, ended_by_service)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        if not ended_by_service.cancelled():
            end = ended_by_service.result()
            await client.close(end.code, end.reason)
        elif not ended_by_client.cancelled():
            end = ended_by_client.result()
            await service.close(code=end.code, message=end.reason.encode())
    finally:
        await service.close(code=_GOING_AWAY)


async def _to_service(client: WebSocket, service: ServiceSocket, message: Message) -> _Close:
    """Pass on `message` and those after it; return the client's close, with a code to send."""
    while True:
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or _NO_CODE
            sendable = {_NO_CODE: _NORMAL, _ABNORMAL: _GOING_AWAY}.get(code, code)
            return _Close(sendable, message.get("reason") or "")
        try:
            if message.get("text") is not None:
                await service.send_str(message["text"])
            else:
                await service.send_bytes(message["bytes"])
        except (aiohttp.ClientError, OSError):
            await asyncio.Event().wait()  # `_to_client` returns how the service ended
        message = await client.receive()


async def _to_client(client: WebSocket, service: ServiceSocket) -> _Close:
    """Pass the service's messages back; return the service's close, with a code to send."""
    while True:
        message = await service.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            await client.send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await client.send({"type": "websocket.send", "bytes": message.data})
        elif message.type is aiohttp.WSMsgType.CLOSE:
            return _Close(message.data or _NORMAL, message.extra or "")
        elif message.type is aiohttp.WSMsgType.ERROR:
            too_big = getattr(message.data, "code", None) == _TOO_BIG
            return _Close(_TOO_BIG if too_big else _INTERNAL_ERROR)
        else:
            return _Close(_TRY_AGAIN_LATER, _UNAVAILABLE)


async def _refuse(client: WebSocket, answer: Response, receive: Receive) -> None:
    """Answer the handshake with a problem, and wait until the connection is closed.

    uvicorn takes a handler that returns before that for one that forgot to answer, and logs it.
    """
    await client.send_denial_response(answer)
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await receive()  # the end of the handshake
            await receive()  # the end of the connection


def _request(scope: Scope) -> Request:
    """Make what problem documents are written from: a handshake is an HTTP request."""
    return Request({**scope, "type": "http", "method": "GET"})
