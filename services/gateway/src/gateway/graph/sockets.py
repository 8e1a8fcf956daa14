"""`WS /graphql`: sockets of graphql-transport-ws, from the handshake to the close."""

import asyncio
import time
from contextlib import ExitStack, suppress

from starlette.requests import Request as HttpRequest
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.errors import DomainError
from gateway.addresses import Addresses
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.graph.connections import Connection, SocketTerms
from gateway.graph.execution import Executor
from gateway.graph.gate import Gate
from gateway.socket_bounds import SocketBounds

PROTOCOL = "graphql-transport-ws"
_NOT_ACCEPTABLE = 4406
_CHECK_SECONDS = 1.0
_CLOSE_SECONDS = 1.0


class GraphqlSockets:
    """Serves the WebSockets of GraphQL.

    Args:
        gate: admits callers and calls services.
        executor: executes operations.
        bounds: limit the number of sockets.
        addresses: finds the client's address.
        terms: the limits of a socket.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        executor: Executor,
        bounds: SocketBounds,
        addresses: Addresses,
        terms: SocketTerms,
    ) -> None:
        self._gate = gate
        self._executor = executor
        self._bounds = bounds
        self._addresses = addresses
        self._terms = terms
        self._open: set[Connection] = set()

    async def watch(self) -> None:
        """End sockets whose token is no longer valid, and idle ones, within a second or so.

        One task does it for all: a timer for each socket would cost more.
        """
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = time.monotonic()
            for connection in tuple(self._open):
                connection.check(now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket (ASGI)."""
        client = WebSocket(scope, receive, send)
        await client.receive()  # the request to connect
        with ExitStack() as stack:
            try:
                head = self._gate.head(scope)
                address = self._addresses.origin(scope).client
                place = stack.enter_context(self._bounds.place(address))
            except (Refused, DomainError) as error:
                await _refuse(client, error)
                return
            with suppress(WebSocketDisconnect):
                if PROTOCOL not in scope["subprotocols"]:
                    await client.accept()
                    reason = f"Subprotocol not acceptable. Connect with {PROTOCOL}."
                    await client.close(_NOT_ACCEPTABLE, reason)
                    return
                await client.accept(subprotocol=PROTOCOL)
                connection = Connection(
                    client=client,
                    head=head.with_fields(list(head.fields)),
                    gate=self._gate,
                    executor=self._executor,
                    terms=self._terms,
                )
                self._open.add(connection)
                stack.callback(self._open.discard, connection)
                await connection.serve(place)


async def _refuse(client: WebSocket, error: Refused | DomainError) -> None:
    """Reject the handshake with a problem document, and wait until the connection is closed."""
    # A problem document is made from a request, and a handshake is one.
    request = HttpRequest({**client.scope, "type": "http", "method": "GET"})
    await client.send_denial_response(answer_to(request, error))
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.receive()
            await client.receive()
