"""WebSockets passed through: messages both ways, and close codes too.

Pings are answered on each side for itself, so that a dead peer is noticed where it is.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.errors import DomainError, Unavailable
from chassis.http.context import request_id_of
from chassis.http.problems import problem_of_status
from chassis.telemetry.tracing import current_trace_headers
from gateway.admission import Admission
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.headers import read_head, upstream_fields
from gateway.paths import check_target, target_of
from gateway.routes import Route
from gateway.tracing import ROUTE, server_span
from gateway.upstreams import Upstream

_NORMAL = 1000
_GOING_AWAY = 1001
_NO_CODE = 1005
_ABNORMAL = 1006
_TOO_BIG = 1009
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_CLOSE_SECONDS = 1.0
_REFUSALS = range(400, 500)
_HANDSHAKE_FIELDS = "sec-websocket-"
_LOST = "the service is away: connect again in a moment"

type ServiceSocket = aiohttp.ClientWebSocketResponse[bool]


@dataclass(frozen=True, slots=True)
class _Close:
    """How one side ended."""

    code: int
    reason: str = ""


class Sockets:
    """Serves the WebSockets of the route table.

    Args:
        upstreams: the services, by the names in the table.
        admission: says who may pass.
    """

    def __init__(self, *, upstreams: Mapping[str, Upstream], admission: Admission) -> None:
        self._upstreams = upstreams
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket (ASGI)."""
        client = WebSocket(scope, receive, send)
        await client.receive()  # the request to connect
        try:
            service = await self._connect(client)
        except Unavailable:
            await client.accept()
            await client.close(_TRY_AGAIN_LATER, _LOST)
        except (Refused, DomainError) as error:
            await _refuse(client, answer_to(_request(scope), error), receive)
        except aiohttp.WSServerHandshakeError as error:
            detail = "the service refused the WebSocket"
            answer = problem_of_status(_request(scope), error.status, detail)
            await _refuse(client, answer, receive)
        else:
            await _relay(client, service)

    async def _connect(self, client: WebSocket) -> ServiceSocket:
        scope = client.scope
        route: Route | None = scope[ROUTE]
        check_target(scope["raw_path"], scope["query_string"])
        if route is None:
            raise Refused(404, f"no WebSocket is served at {scope['path']}")
        head = read_head(scope)
        admitted = await self._admission.admit(scope, head, route)
        fields = upstream_fields(
            scope,
            head,
            origin=admitted.origin,
            request_id=request_id_of(scope),
            timeout=route.timeout,
        )
        fields = [item for item in fields if not item[0].startswith(_HANDSHAKE_FIELDS)]
        upstream = self._upstreams[route.service]
        with server_span(scope):
            fields += current_trace_headers().items()
            try:
                async with asyncio.timeout(route.timeout):
                    return await upstream.websocket(
                        target_of(scope), fields=fields, protocols=tuple(scope["subprotocols"])
                    )
            except TimeoutError as error:
                upstream.timed_out()
                raise Unavailable(_LOST) from error
            except aiohttp.WSServerHandshakeError as error:
                if error.status not in _REFUSALS:
                    raise Unavailable(_LOST) from error
                raise


async def _relay(client: WebSocket, service: ServiceSocket) -> None:
    """Pass messages both ways until one side ends; tell the other how."""
    try:
        await client.accept(subprotocol=service.protocol)
        ended_by_client = asyncio.create_task(_to_service(client, service))
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
    except WebSocketDisconnect:
        return
    finally:
        await service.close(code=_GOING_AWAY)


async def _to_service(client: WebSocket, service: ServiceSocket) -> _Close:
    """Pass the client's messages on; answers how it ended, in a code that may be sent."""
    while True:
        message = await client.receive()
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
            await asyncio.Event().wait()  # the other direction says how the service ended


async def _to_client(client: WebSocket, service: ServiceSocket) -> _Close:
    """Pass the service's messages back; answers how it ended, in a code that may be sent."""
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
            return _Close(_TRY_AGAIN_LATER, _LOST)


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
