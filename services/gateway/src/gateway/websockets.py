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
from functools import partial

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.errors import DomainError, Unavailable
from chassis.handover import hand_over, last_heard
from chassis.http.context import request_id_of
from chassis.http.failures import failure_response
from gateway.addresses import Addresses, Origin
from gateway.admission import Admission, ScopedRequest
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.guards.guard import Guard, Result, result_of
from gateway.headers import Kinds, RequestHead, read_head
from gateway.opaque import text_of
from gateway.paths import check_path, target_of
from gateway.relays import TRY_AGAIN_LATER, UNAVAILABLE, Client, Close, Relays, ServiceSocket
from gateway.routes import Route
from gateway.socket_bounds import SocketBounds, SocketPlace
from gateway.tracing import ROUTE, Traces
from gateway.upstream_heads import upstream_fields
from gateway.upstreams import Upstream

_PROTOCOL_ERROR = 1002
_BAD_GATEWAY = 1014
_FIRST_OF_OUR_OWN = 4000  # plus the HTTP status that fits (RFC 6455 §7.4.2)
_UNAUTHENTICATED = 4401
_CLOSE_SECONDS = 1.0
_REFUSALS = range(400, 500)
_HANDSHAKE_FIELDS = b"sec-websocket-"


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
        relays: pass on messages.
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
        relays: Relays,
        traces: Traces,
    ) -> None:
        self._upstreams = upstreams
        self._guards = guards
        self._admission = admission
        self._addresses = addresses
        self._kinds = Kinds()
        self._bounds = bounds
        self._relays = relays
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one socket (ASGI), and hand it over: see `chassis.handover`."""
        client = WebSocket(scope, receive, send)
        await client.receive()  # the request to connect
        try:
            handshake = await self._handshake(scope)
            place = self._bounds.place(handshake.origin.client)
        except (Refused, DomainError) as error:
            await _refuse(client, answer_to(_request(scope), error), receive)
            return
        except Exception as error:  # noqa: BLE001 - it is logged, and answered as HTTP's are
            await _refuse(client, failure_response(_request(scope), error), receive)
            return
        with ExitStack() as stack:
            stack.enter_context(place)
            with suppress(WebSocketDisconnect):
                await client.accept(subprotocol=handshake.subprotocol)
                hand_over(scope, partial(self._converse, scope, handshake, place))
                stack.pop_all()  # `_converse` gives the place back

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

    async def _converse(
        self, scope: Scope, handshake: _Handshake, place: SocketPlace, receive: Receive, send: Send
    ) -> None:
        """Serve an accepted socket until it is closed."""
        client = Client(receive, send, last_heard(scope))
        with place:
            first = await self._first_message(client, handshake)
            if first is None:
                return
            place.spoke()
            try:
                service = await self._connect(scope, handshake)
            except _NotServed as error:
                await client.close(Close(error.code, str(error)))
                return
            del scope, handshake, receive, send  # an open socket needs them no more
            relaying = self._relays.relay(client, service, first)
            del first
            await relaying

    async def _first_message(self, client: Client, handshake: _Handshake) -> Message | None:
        """Return the client's first message; None if it has gone, or is closed for its silence."""
        seconds = handshake.route.first_message_seconds
        try:
            async with asyncio.timeout(seconds):
                first = await client.receive()
        except TimeoutError:
            reason = f"No message came within {seconds:g} s. Connect again, and send one at once."
            await client.close(Close(_UNAUTHENTICATED, reason))
            return None
        return None if client.gone else first

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
        raise _NotServed(TRY_AGAIN_LATER, UNAVAILABLE) from error
    except Unavailable as error:
        raise _NotServed(TRY_AGAIN_LATER, UNAVAILABLE) from error
    except Refused as error:
        reason = "The service returned no valid response. Connect again in a moment."
        raise _NotServed(_BAD_GATEWAY, reason) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status not in _REFUSALS:
            raise _NotServed(TRY_AGAIN_LATER, UNAVAILABLE) from error
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
