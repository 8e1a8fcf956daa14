"""The live feed as server-sent events (WHATWG HTML §9.2), and the tickets for it."""

from contextlib import aclosing
from typing import Annotated, NoReturn

from fastapi import Header, Query, Response
from starlette.types import Receive, Scope, Send

from chassis.auth import Principal, accept_scope, require_scope
from chassis.auth.principal import NOT_AUTHENTICATED
from chassis.cancellation import GuardedTaskGroup
from chassis.error_text import leaves
from chassis.errors import DomainError, Unauthenticated
from chassis.http import Router, problems
from chassis.http.caching import NO_STORE
from chassis.http.methods import method_of
from chassis.wire_names import EVENT_STREAM
from notifications.feed.errors import ProcessFull, ServerStopping, TooManySockets, TooSlow
from notifications.feed.models import Start, Transport
from notifications.feed.service import Connection, sent_in_time
from notifications.feed.wiring import (
    CLIENT_CLOSED,
    Resources,
    ResourcesDep,
    close_code,
    pushing,
    start_of,
)
from notifications.kinds.wiring import SCOPE
from notifications.streams import schemas
from notifications.streams.errors import InvalidStreamTicket
from notifications.streams.wiring import Tickets

router = Router(prefix="/api/v1/notifications", tags=["feed"])

_FIELDS = (
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", NO_STORE.encode()),
    # A stream that ends early, because its client reads too slowly, ends with its connection.
    (b"connection", b"close"),
    (b"x-accel-buffering", b"no"),  # else nginx would hold events back
)


@router.post(
    "/stream-tickets",
    operation_id="createStreamTicket",
    summary="Get a ticket for one stream",
)
async def create_stream_ticket(
    caller: Annotated[Principal, require_scope(SCOPE)], tickets: Tickets, response: Response
) -> schemas.StreamTicketOut:
    """A ticket that opens `GET /notifications/stream` once, within 30 s.

    It is for `EventSource`, which can't send the header Authorization. It is accepted nowhere else.
    """
    response.headers["Cache-Control"] = NO_STORE
    return schemas.StreamTicketOut.model_validate(await tickets.issue(caller))


@router.get(
    "/stream",
    operation_id="streamNotifications",
    summary="Follow your live feed",
    response_model=None,
    responses={
        200: {
            "description": "Events without end. `id` is the item's `event_id`, `event` its type, "
            "`data` the item as JSON. The events `ready`, `reset` and `error` are no items.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **problems(InvalidStreamTicket, TooManySockets, ProcessFull),
    },
)
async def stream_feed(
    query: Annotated[schemas.StreamQuery, Query()],
    caller: Annotated[Principal | None, accept_scope(SCOPE)],
    tickets: Tickets,
    resources: ResourcesDep,
    last_event_id: Annotated[
        schemas.EventId | None, Header(description="The `id` of the last event that arrived.")
    ] = None,
) -> Response:
    """Sends every item of your feed in order, each once, as it comes.

    A client that connects again resumes after the header `Last-Event-ID`, which `EventSource`
    sends by itself. A stream ends with the access token that opened it, or that its ticket was
    issued for. `retry` says how long to wait before connecting again.
    """
    if caller is None:
        if query.ticket is None:
            raise Unauthenticated(NOT_AUTHENTICATED)
        caller = await tickets.redeem(query.ticket)
    seen = last_event_id or query.last_event_id
    return _Stream(
        resources=resources, caller=caller, last_event_id=None if seen is None else int(seen)
    )


class _ClientGone(Exception):
    """The client closed the connection."""


class _Stream(Response):
    """One client's stream, from its head to its end."""

    def __init__(
        self, *, resources: Resources, caller: Principal, last_event_id: int | None
    ) -> None:
        super().__init__()
        self._resources = resources
        self._connections = resources.connections
        self._settings = resources.settings
        self._caller = caller
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream (ASGI). Before its head, raise the reason why there is none."""
        closes = self._connections.metrics.closes
        connection = Connection(principal=self._caller, transport=Transport.SSE)
        began = False
        try:
            with self._connections.joined(connection):
                start = await start_of(self._resources, self._caller, self._last_event_id)
                began = True
                await send({"type": "http.response.start", "status": 200, "headers": [*_FIELDS]})
                if method_of(scope) != "HEAD":
                    await self._follow(connection, start, receive, send)
        except _ClientGone:
            closes.labels(Transport.SSE, CLIENT_CLOSED).inc()
        except DomainError as error:
            closes.labels(Transport.SSE, close_code(type(error))).inc()
            if not began:
                raise
            if not isinstance(error, TooSlow):
                await self._send(send, self._last_words(error))
        await send({"type": "http.response.body", "body": b""})

    async def _follow(
        self, connection: Connection, start: Start, receive: Receive, send: Send
    ) -> NoReturn:
        self._connections.place(connection, start.position)
        ended: BaseException = _ClientGone()
        try:
            # Both run until one raises; the group then cancels the other one.
            async with GuardedTaskGroup() as group:
                group.create_task(_until_gone(receive))
                await self._send_all(connection, start, send)
        except* (DomainError, _ClientGone) as errors:
            ended = next(iter(leaves(errors)))
        raise ended

    async def _send_all(self, connection: Connection, start: Start, send: Send) -> None:
        first = schemas.retry(self._connections.reconnect_ms()) + schemas.ready(start.position)
        await self._send(send, first + (schemas.RESET if start.reset else ""))
        followed = self._connections.follow(
            connection, ping_seconds=self._settings.feed_ping_seconds
        )
        async with aclosing(followed):
            async for items in followed:
                if not items:
                    await self._send(send, schemas.HEARTBEAT)
                for item in items:
                    with pushing(self._resources, connection, item):
                        await self._send(send, schemas.item(item))

    async def _send(self, send: Send, text: str) -> None:
        sending = send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await sent_in_time(sending, seconds=self._settings.feed_stall_seconds)

    def _last_words(self, error: DomainError) -> str:
        if isinstance(error, ServerStopping):
            return schemas.retry(error.reconnect_ms)
        return schemas.closing(error)


async def _until_gone(receive: Receive) -> NoReturn:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _ClientGone
