"""A client's connection: it serves proxied requests itself, and hands all others to ASGI."""

import asyncio
import re
import time
from collections import deque
from dataclasses import replace
from typing import Any, ClassVar, Protocol, cast

import httptools

from chassis.heads import has_body
from chassis.library_internals.uvicorn import RequestResponseCycle
from chassis.protocol import BoundedProtocol
from chassis.raw_problems import RawProblem
from gateway.addresses import Addresses, Origin
from gateway.exchange import FieldLines, lines_of
from gateway.headers import RequestHead
from gateway.links.problems import as_accepted
from gateway.path.exchange import Exchange
from gateway.path.server import CommonLines, PathServer
from gateway.routes import Route
from gateway.upstream_heads import origin_fields

# A target in origin-form without a fragment (RFC 9112 §3.2.1), which needs no parser.
_PLAIN_TARGET = re.compile(rb"/[!-\"$-~]*")

type Cycle = Exchange | RequestResponseCycle


class _Ended:
    """Stands for an exchange that is over, of which an idle connection holds nothing."""

    message_event = Exchange.message_event
    response_started = response_complete = True
    disconnected = False
    keep_alive = True


_ENDED = _Ended()


class Gateway(Protocol):
    """What the connections of one gateway share; see `gateway.edge.Edge`."""

    addresses: Addresses
    common_lines: CommonLines

    @property
    def server(self) -> PathServer:
        """What all exchanges share."""

    def proxied(
        self, method: str, raw_path: bytes, fields: FieldLines
    ) -> tuple[bool, Route | None]:
        """Return whether an exchange serves the request, and its route."""


class PathProtocol(BoundedProtocol):
    """Serves one connection of a client.

    Requests are served one after the other. A pipelined request waits in uvicorn's queue, behind
    exchanges and ASGI cycles alike, so that the responses keep the order of the requests.

    Attributes:
        edge: finds the route of a request, and has what serves it.
        write_paused: whether the client does not take what is written.
        body_paused: whether no more of the body is read, because the service does not take it.
    """

    __slots__ = (
        "_advancing",
        "_ended_now",
        "_fixed_origin",
        "_idle_since",
        "_idle_timer",
        "_origin_host",
        "_origin_lines",
        "_serving",
        "_shared",
        "_unreadable",
        "body_paused",
        "write_paused",
    )

    edge: ClassVar[Gateway]
    pipeline: deque[Any]
    cycle: Any  # uvicorn's annotation knows only its own class; a cast would be a call

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self.write_paused = False
        self.body_paused = False
        self._serving: Exchange | None = None
        self._advancing = False
        self._unreadable = False
        self._ended_now = False
        self._shared: PathServer | None = None
        self._fixed_origin: Origin | None = None
        self._origin_host: bytes | None = None
        self._origin_lines = b""
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, edge: Gateway) -> type["PathProtocol"]:
        """Return the protocol of the connections of one gateway."""
        return type("GatewayProtocol", (cls,), {"edge": edge, "__slots__": ()})

    # The requests.

    def begin_request(self, known: dict[bytes, bytes]) -> None:
        """Serve the request, or leave it to ASGI."""
        if self._refused or self.transport.is_closing():
            return  # the last response closes the connection, and this came in the same packet
        url = self.url
        if _PLAIN_TARGET.fullmatch(url):
            raw_path = url.partition(b"?")[0]
            target = url
        else:
            parsed = httptools.parse_url(url)
            raw_path = parsed.path
            raw_path.decode("ascii")  # raises an error, which makes the request a malformed one
            target = b"%b?%b" % (raw_path, parsed.query) if parsed.query else raw_path
        method = self.parser.get_method()
        proxied, route = self.edge.proxied(method.decode("latin-1"), raw_path, self.headers)
        if not proxied:
            super().begin_request(known)
            return
        version = self.parser.get_http_version()
        if self._shared is None:
            self._shared = self.edge.server  # three calls, once for a connection
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        exchange = Exchange(
            self,
            self._shared,
            route,
            method,
            raw_path,
            target,
            version,
            keep_alive,
            has_body(known),
        )
        exchange.expects_continue = self.expect_100_continue
        before = self.cycle
        self.cycle = exchange
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, None))
        elif not exchange.body.complete:
            self._begin(exchange)

    def begin_if_first(self, exchange: Exchange) -> None:
        """Begin an exchange that waited only for the end of its request."""
        if not self.pipeline or not self._queued(exchange):
            self._begin(exchange)

    def starts(self, cycle: object) -> bool:
        """Start an exchange that waited in uvicorn's queue."""
        if not isinstance(cycle, Exchange):
            return False
        self._begin(cycle)
        return True

    def _begin(self, exchange: Exchange) -> None:
        self._serving = exchange
        exchange.begin()

    @property
    def _current(self) -> Cycle | None:
        """The newest request's cycle."""
        current: Cycle | None = self.cycle
        return current

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless what came before it can't be parsed."""
        self._ended_now = False
        if not self._unreadable:
            super().data_received(data)

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on."""
        current = self.cycle
        if isinstance(current, Exchange):
            self._unread = 0
            current.on_body(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass on the end of a request."""
        current = self.cycle
        if self._reading_head or not isinstance(current, Exchange):
            super().on_message_complete()
            return
        self._unread = 0
        self._reading_body = False
        if self.headers:
            self.heed_trailers()
        current.on_request_complete()
        self._forget_ended()

    # The responses.

    def on_exchange_complete(self, exchange: Exchange) -> None:
        """Wait for the next request, serve one that waits, or close the connection."""
        self.server_state.total_requests += 1
        self._serving = None
        self.body_paused = False
        self._ended_now = True
        if self.transport.is_closing():
            return
        if not exchange.keep_alive:
            self._close_after(exchange)
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline or self._unreadable:
            self._advance()
        elif not self._advancing:  # else the loop of `_advance` goes on
            self._idle()

    def _advance(self) -> None:
        """Serve the requests that wait, in a loop: hundreds of them may be refused at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.pipeline and self._serving is None and not self.transport.is_closing():
                cycle, app = self.pipeline.pop()
                self.start_waiting(cycle, app)
                if not isinstance(cycle, Exchange):
                    return
        finally:
            self._advancing = False
        if self._serving is None and not self.transport.is_closing():
            if self._unreadable:
                self._unreadable = False
                super().send_400_response("")
            else:
                self._idle()

    def on_response_complete(self) -> None:
        """Note the end of an ASGI cycle."""
        self._idle_since = time.monotonic()
        last = not self.pipeline
        super().on_response_complete()
        if last and self._unreadable:
            self._unreadable = False
            super().send_400_response("")

    def _close_after(self, exchange: Exchange) -> None:
        self.pipeline.clear()
        if self._reading_body and self._current is exchange:
            self._stop_waiting()
            self._linger()
        else:
            self.transport.close()

    def _idle(self) -> None:
        """Wait for the next request, with one timer for as long as the connection lives."""
        self._forget_ended()
        self._idle_since = time.monotonic()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)
        self.await_request()

    def _forget_ended(self) -> None:
        """Hold nothing of an exchange that is over, unless the rest of its request arrives."""
        current = self._current
        if isinstance(current, Exchange) and current.response_complete and not self._reading_body:
            self.cycle = _ENDED
            self._request_fields = self.headers

    def _check_idle(self) -> None:
        self._idle_timer = None
        if self.transport.is_closing() or not self._answered:
            return  # the end of the response begins a new wait
        left = self._idle_since + self.timeout_keep_alive - time.monotonic()
        if left <= 0:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(left, self._check_idle)

    def _keep_waiting(self) -> None:
        """Restart the timer, unless the last request got its response while it was parsed."""
        if not self._ended_now or self._reading_head or self._reading_body:
            super()._keep_waiting()

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be parsed, after the responses to the requests before it."""
        if self._refused or self.transport.is_closing():
            return  # the last response closes the connection
        if self._comes_later() and not self._too_many:
            self._stop_waiting()
            self._unreadable = True
            self.flow.pause_reading()
            self._drop_broken()
        else:
            super().send_400_response(msg)

    def _comes_later(self) -> bool:
        """Return whether an earlier request waits for its response, so that a refusal must wait."""
        current = self._current
        if current is None:
            return False
        return self._queued(current) or not (current.response_complete or self._reading_body)

    def _queued(self, cycle: Cycle) -> bool:
        return any(cycle is queued for queued, _ in self.pipeline)

    def _drop_broken(self) -> None:
        """Drop the newest request if its body is what can't be parsed: it never becomes whole."""
        current = self._current
        if self._reading_body and current is not None and self._queued(current):
            self.pipeline.popleft()  # the newest is at the left
            self.abandon(cast("RequestResponseCycle", current))

    def represented(self, problem: RawProblem) -> RawProblem:
        """Return the response to a rejected request in the form that its client accepts."""
        fields, body = as_accepted(self._request_fields, problem.fields, problem.body)
        return replace(problem, fields=fields, body=body)

    def abandon(self, cycle: RequestResponseCycle) -> None:
        """End the request that is being served."""
        if isinstance(current := cast("Cycle", cycle), Exchange):
            current.leave()
        else:
            super().abandon(cycle)

    # The connection.

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is being served and what waits."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for cycle in (self._serving, *(cycle for cycle, _ in self.pipeline), self._current):
            if isinstance(cycle, Exchange):
                cycle.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Stop the service, too: otherwise the gateway would hold what the client does not read."""
        self.write_paused = True
        super().pause_writing()
        if self._serving is not None:
            self._serving.pause(pausing=True)

    def resume_writing(self) -> None:
        """Let the service send again."""
        self.write_paused = False
        super().resume_writing()
        if self._serving is not None:
            self._serving.pause(pausing=False)

    def pause_body(self) -> None:
        """Read no more of the body."""
        self.body_paused = True
        self.flow.pause_reading()

    def resume_body(self) -> None:
        """Read the body again."""
        if self.body_paused:
            self.body_paused = False
            self.flow.resume_reading()

    def origin_of(self, lines: FieldLines) -> Origin:
        """Return where a request came from; only that of a trusted proxy depends on its fields."""
        if self._fixed_origin is not None:
            return self._fixed_origin
        origin = self.edge.addresses.origin({"client": self.client, "headers": lines})
        if not origin.trusted:
            self._fixed_origin = origin
        return origin

    def origin_lines(self, head: RequestHead, origin: Origin) -> bytes:
        """Return the lines that tell a service where the request came from, and for which host.

        They are made once for a host, unless a trusted proxy sends them: making them took longer
        than all other lines of the head.
        """
        scheme = self.scheme or "http"
        if origin is not self._fixed_origin:
            return lines_of(origin_fields(head, origin=origin, scheme=scheme))
        if head.host != self._origin_host or not self._origin_lines:
            self._origin_host = head.host
            self._origin_lines = lines_of(origin_fields(head, origin=origin, scheme=scheme))
        return self._origin_lines
