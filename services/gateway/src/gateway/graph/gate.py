"""GraphQL's side of the gateway's data path: who may call, and how services are called.

The other modules of this package know nothing of `gateway.upstreams` and `gateway.admission`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from uuid import UUID

import aiohttp
from starlette.types import Receive, Scope

from chassis.auth.principal import Principal, Verifier
from chassis.errors import DomainError
from chassis.http.context import request_id_of
from gateway.addresses import Addresses
from gateway.admission import Admission, ScopedRequest
from gateway.bulkheads import Bulkheads
from gateway.errors import ClientGone, Refused
from gateway.exchange import UpstreamAnswer
from gateway.graph.calls import FeedClosed, FeedSocket, Fields
from gateway.headers import Kinds, RequestHead, read_head
from gateway.opaque import text_of
from gateway.path.request_body import STALL_SECONDS, RequestBody, stalled
from gateway.response_heads import response_fields
from gateway.routes import Auth, BulkheadClass, LimitClass, Route
from gateway.tracing import ROUTE as SCOPE_ROUTE
from gateway.tracing import Traces
from gateway.upstream_heads import upstream_fields
from gateway.upstreams import Upstream

PATH = "/graphql"
_FEED = "/api/v1/notifications/ws"
_NOTIFICATIONS = "notifications"
_MAX_BYTES = 8 * 1024 * 1024
_AUTHORIZATION = b"authorization"
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_TRY_AGAIN_LATER = 1013
_BAD_GATEWAY = 1014
_OF_OUR_OWN = 4000
_REFUSALS = range(400, 500)
_DOUBT = "If this is a mutation, it may have taken effect: check that before you send it again."

ROUTE = Route(
    prefix=PATH,
    service="",  # none: resolvers call several
    auth=Auth.OPTIONAL,
    limit=LimitClass.GRAPHQL,
    exact=True,
)
_STREAM = replace(ROUTE, bulkhead=BulkheadClass.STREAMS, stream=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A caller whose request may pass.

    Attributes:
        fields: the fields of the calls to services.
        answer_fields: the fields of the response, about the caller's rate limit.
        token: the access token, if one was sent or exchanged for an API key.
        user_id: the user; None without a token.
    """

    fields: Fields
    answer_fields: list[tuple[bytes, bytes]]
    token: str | None
    user_id: UUID | None


class Gate:
    """Admits callers and calls services.

    Args:
        upstreams: the services, by name.
        admission: decides whether a request may pass.
        addresses: finds the client's address.
        verifier: verifies access tokens.
        traces: passes the trace on.
        bulkheads: bound how many streams are open.
    """

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        admission: Admission,
        addresses: Addresses,
        verifier: Verifier,
        traces: Traces,
        bulkheads: Bulkheads,
    ) -> None:
        self._upstreams = upstreams
        self._admission = admission
        self._addresses = addresses
        self._kinds = Kinds()
        self._verifier = verifier
        self._traces = traces
        self._bulkheads = bulkheads

    def head(self, scope: Scope) -> RequestHead:
        """Return the head of a request or handshake; raises Suspicious or Malformed."""
        scope[SCOPE_ROUTE] = ROUTE  # for its label in metrics and logs
        return read_head(scope["headers"], self._kinds, version=scope["http_version"])

    async def admit(self, scope: Scope, head: RequestHead) -> Caller:
        """Return the caller, and count the request.

        Raises:
            LimitReached: the caller has sent too many requests.
            Unauthenticated: the token or API key is not valid.
            Unavailable: the API key could not be verified.
        """
        # `admit` replaces an API key in the head, and a socket's head is used for each operation.
        own = head.with_fields(list(head.fields))
        request = ScopedRequest(scope, self._addresses)
        admitted = request.passed(await self._admission.admit(request, own, ROUTE))
        own.fields = sent = [field for field in own.fields if field[0] == _AUTHORIZATION]
        lines = upstream_fields(
            own,
            origin=admitted.origin,
            scheme=scope["scheme"],
            request_id=request_id_of(scope),
        )
        fields = [(name.decode("latin-1"), text_of(value)) for name, value in lines]
        baggage = [text_of(value) for value in head.baggage or ()]
        return Caller(
            fields=[*fields, *self._traces.upstream_fields(scope, baggage)],
            answer_fields=admitted.fields,
            token=text_of(sent[0][1]).partition(" ")[2].strip() if sent else None,
            user_id=admitted.user_id,
        )

    async def body(self, head: RequestHead, receive: Receive, max_bytes: int) -> bytes:
        """Return the body of a request; raises Refused (408, 413) or ClientGone."""
        body = RequestBody(expected=head.has_body, max_bytes=max_bytes)
        body.begin(head.length, 0)
        body.check_length()
        while not body.complete:
            await _take_part(body, receive)
        return body.whole()

    def principal(self, caller: Caller) -> Principal | None:
        """Return the principal of the caller's token; raises ValueError if it is not valid."""
        return None if caller.token is None else self._verifier.verify(caller.token)

    def check(self, principal: Principal) -> None:
        """Raise ValueError if the principal's token is no longer valid."""
        self._verifier.check(principal)

    def stream(self) -> AbstractContextManager[None]:
        """Hold a place for a stream of events, or raise Unavailable."""
        bulkhead = self._bulkheads.of(_STREAM)
        return nullcontext() if bulkhead is None else bulkhead.place()

    async def call(
        self,
        service: str,
        method: str,
        target: str,
        *,
        fields: Fields,
        body: bytes | None,
        deadline: float,
    ) -> UpstreamAnswer:
        """Send a request to a service; see `Calls`."""
        upstream = self._upstreams[service]
        try:
            async with asyncio.timeout_at(deadline):
                answer = await upstream.request(
                    method,
                    target,
                    fields=fields,
                    body=body,
                    deadline=deadline,
                    max_bytes=_MAX_BYTES,
                )
        except TimeoutError as error:
            upstream.timed_out()
            message = f"The service {service} did not respond in time. {_DOUBT}"
            raise Refused(504, message) from error
        answer.fields = response_fields(answer.status, answer.fields)
        return answer

    async def open(self, fields: Fields) -> FeedSocket:
        """Open a connection to the live feed; see `Feeds`. Its first message has the token."""
        upstream = self._upstreams[_NOTIFICATIONS]
        own = [field for field in fields if field[0] != "authorization"]
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                socket = await upstream.websocket(_FEED, fields=own, protocols=())
        except TimeoutError as error:
            upstream.timed_out()
            raise FeedClosed(_TRY_AGAIN_LATER) from error
        except aiohttp.WSServerHandshakeError as error:
            code = _OF_OUR_OWN + error.status if error.status in _REFUSALS else _TRY_AGAIN_LATER
            raise FeedClosed(code) from error
        except (Refused, DomainError) as error:
            raise FeedClosed(_TRY_AGAIN_LATER) from error
        return _Socket(socket)


class _Socket:
    """A socket to the live feed.

    Args:
        socket: the client's socket.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        """Send a message."""
        with suppress(aiohttp.ClientError, OSError):  # `receive` raises how the feed ended
            await self._socket.send_str(text)

    async def receive(self) -> str:
        """Return the next message, or raise FeedClosed."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            text: str = message.data
            return text
        if message.type is aiohttp.WSMsgType.CLOSE:
            raise FeedClosed(message.data or _TRY_AGAIN_LATER, message.extra or "")
        raise FeedClosed(
            _BAD_GATEWAY if message.type is aiohttp.WSMsgType.BINARY else _TRY_AGAIN_LATER
        )

    async def close(self) -> None:
        """Close the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close()


async def _take_part(body: RequestBody, receive: Receive) -> None:
    """Take the next part of a body; raises Refused (408, 413) or ClientGone."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            message = await receive()
    except TimeoutError as error:
        raise stalled() from error
    if message["type"] == "http.disconnect":
        raise ClientGone
    body.take(message.get("body", b""), 0)
    body.complete = not message.get("more_body", False)
