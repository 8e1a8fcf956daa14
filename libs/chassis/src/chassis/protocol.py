"""uvicorn's HTTP/1.1 protocol, with limits on a request's head and problem documents for bad ones.

The parser alone would hold a head of any size for any time. uvicorn would respond with plain text
to a head that can't be parsed, before any middleware runs.
"""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any, NoReturn

import httptools
import structlog

from chassis import heads
from chassis.connections import ConnectionBound, bound_unsent_data
from chassis.heads import Refusal, members_of
from chassis.library_internals.httptools import head_end, parser_as_uvicorn_makes_it
from chassis.library_internals.uvicorn import (
    STATUS_LINE,
    ASGI3Application,
    HttpProtocol,
    RequestResponseCycle,
)
from chassis.raw_problems import Fields, RawProblem, raw_problem
from chassis.unanswered import answering

_VERSIONS = frozenset({"1.0", "1.1"})
# The rest of a head, without its target and its fields: method, version, line ends.
_MORE_HEAD_BYTES = 64
_REFUSED_SECONDS, _LINGER_SECONDS = 1.0, 2.0

type CommonFields = Callable[[Fields], Fields]
"""Returns the header fields that every response carries, given those of its request."""

log = structlog.get_logger(__name__)


class _HeadRefused(Exception):
    """Stops the parser; the protocol holds the status and the reason."""


def no_fields(_: Fields) -> Fields:
    """Return no common fields: a service behind the gateway adds none to its responses."""
    return []


class BoundedProtocol(HttpProtocol):
    """Rejects heads that are too large (414, 431), too slow, or ambiguous (400).

    Args:
        arguments: the arguments of uvicorn's protocol.
        common_fields: called once for each request.
        options: the options of uvicorn's protocol.

    Attributes:
        head_seconds: how long a head may take from its first byte or the connection's beginning,
            and how long the rest of a body may take after its request got its response.
        unsent_seconds: how long the client may accept none of the data to be sent.
        bound: the limit on the listener's connections; None sets no limit.
        draining: whether each response closes its connection, because the process is about to stop.
        max_target_bytes: the limit for the URL.
        max_fields_bytes: the limit for all fields together.
        max_websocket_fields: the limit for the number of fields of a handshake.
        max_websocket_line: the limit for one line of a handshake, in bytes.
    """

    head_seconds = 10.0
    unsent_seconds = 30.0
    bound: ConnectionBound | None = None
    draining = False
    max_target_bytes = heads.MAX_TARGET_BYTES
    max_fields_bytes = heads.MAX_FIELDS_BYTES
    max_websocket_fields = heads.LIBRARY_FIELDS - heads.GATEWAYS_FIELDS
    max_websocket_line = 8000
    __slots__ = (
        "_common_fields",
        "_head_timer",
        "_linger_timer",
        "_reading_body",
        "_reading_head",
        "_refusal",
        "_refused",
        "_request_fields",
        "_too_many",
        "_unread",
        "_websocket",
    )

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        common_fields: CommonFields = no_fields,
        **options: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        super().__init__(*arguments, **options)
        self._common_fields = common_fields
        self._request_fields: Fields = []
        self.url = b""
        self._refusal: Refusal = heads.UNREADABLE
        self._refused = self._reading_body = self._too_many = self._websocket = False
        self._reading_head = True
        # Bytes since the parser last finished a head, a part of a body, or a message.
        self._unread = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start to wait for the first head."""
        super().connection_made(transport)
        bound_unsent_data(transport, seconds=self.unsent_seconds)
        self._await_head(self.head_seconds)
        if self.bound is not None:
            self._take_place(self.bound)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, and give up the connection's place."""
        self._stop_waiting()
        if self.bound is not None:
            self.bound.works(self)
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; the size of an incomplete head is limited."""
        if self._refused:
            return  # the client was still sending: see _linger
        if self._too_many:
            self.send_400_response("")
            return
        self.stop_keep_alive_timer()
        self._unread += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._unread > self.max_target_bytes + self.max_fields_bytes + _MORE_HEAD_BYTES:
            self._refusal = self._too_large()
            self.send_400_response("")
        elif not self.transport.is_closing() and (self._reading_head or self._answered):
            self._keep_waiting()

    def _keep_waiting(self) -> None:
        """Restart the timer: blank lines and the rest of a body stop uvicorn's own timer."""
        if self._head_timer is None:
            self._await_head(self.head_seconds)

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as error:
                end = head_end(error)
            else:
                return
            if self._websocket:
                self.handle_websocket_upgrade()
                return
            # A view, not a copy: a packet may hold thousands of such requests.
            rest = memoryview(rest)[end:]
            self._parse_head_without_offer()

    def _parse_head_without_offer(self) -> None:
        """Parse the head again without `Upgrade`, which a server may ignore (RFC 9110 §7.8).

        After an upgrade httptools accepts no body and can't be resumed, so this needs a new parser.
        The new parser reads the same message, because it gets the fields as they were parsed.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = parser_as_uvicorn_makes_it(self)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def on_message_begin(self) -> None:
        """Start a new head."""
        super().on_message_begin()
        self._reading_head, self._request_fields = True, self.headers

    def on_headers_complete(self) -> None:
        """Check the head before it is processed."""
        offer = self.parser.should_upgrade()
        self._websocket = offer and self._asks_for_websocket()
        if offer and not self._websocket:
            if self.parser.get_method() == b"CONNECT":
                self._refuse(heads.CONNECT)
            return  # _parse parses the head again, without the offer
        self._reading_head, self._reading_body, self._unread = False, True, 0
        self._stop_waiting()
        if self.bound is not None:
            self.bound.works(self)
        known = dict(self.headers)
        self._check_size()
        version = self.parser.get_http_version()
        if version not in _VERSIONS:  # the parser also accepts 0.9 and 2.0
            self._refuse(heads.VERSION)
        if b"transfer-encoding" in known and version == "1.0":
            self._refuse(heads.TRANSFER_ENCODING)
        if b"expect" in known:
            waits = heads.waits_for_continue(self.headers, known, version)
            if waits is None:
                self._refuse(heads.EXPECTATION)
            self.expect_100_continue = waits
        if self._websocket:
            self._check_websocket(known)
            super().on_headers_complete()
            return
        self.begin_request(known)
        if self.draining:
            self.drain()
        # uvicorn adds trailers to this list. The request keeps the old list, so that the
        # application sees only the fields that were checked here (RFC 9110 §6.5.1).
        self.headers = []

    def begin_request(self, known: dict[bytes, bytes]) -> None:
        """Begin to serve the request whose head was checked; a subclass may do it without ASGI.

        Args:
            known: the request's fields; of repeated ones the last.
        """
        del known
        super().on_headers_complete()
        common = self._common_fields(self.headers)
        self.cycle.default_headers = [*self.server_state.default_headers, *common]

    def prepared(self, app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
        """Return `app`, wrapped to send a problem document if it fails."""
        return answering(app, cycle)

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a message, unless its head is parsed again."""
        if self._reading_head:
            return
        self._unread = 0
        self._reading_body = False
        self.heed_trailers()
        super().on_message_complete()

    def heed_trailers(self) -> None:
        """Close after a request whose trailers say `Connection: close`.

        The parser ignores what follows it, so a further request would get no response.
        """
        if self.headers and not self.parser.should_keep_alive():
            self.drain()

    def on_response_complete(self) -> None:
        """Wait for the next head, or for the rest of a request that got its response early."""
        super().on_response_complete()
        self.await_request()

    def await_request(self) -> None:
        """Wait for the next head, or for the rest of the last body."""
        if self.transport.is_closing() or not self._answered:
            return
        if self._reading_body:
            self._await_head(self.head_seconds)
        if self.bound is not None:
            self.bound.idles(self)

    def drain(self) -> None:
        """Close the connection after the current response, or the next one (RFC 9112 §9.6)."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None:
            cycle.keep_alive = False

    def give_way(self) -> None:
        """Close the connection, because another one needs its place."""
        self._stop_waiting()
        self.transport.close()

    @property
    def _answered(self) -> bool:
        """Whether the last request has its complete response."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_complete

    def _take_place(self, bound: ConnectionBound) -> None:
        if bound.make_room(len(self.connections)):
            bound.idles(self)
            return
        # The response is sent once the client's request has arrived. Closing a connection with
        # unread data resets it, and the client would not see the response.
        self._too_many = True
        self._refusal = heads.too_many_connections(bound.limit)
        self._await_head(_REFUSED_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Send a problem document for a request that can't be parsed, and close the connection."""
        del msg
        self._stop_waiting()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(self._answer())
        if cycle is not None and not cycle.response_complete:
            self.abandon(cycle)
        self._linger()

    def abandon(self, cycle: RequestResponseCycle) -> None:
        """End the request that is being served: its client gets no response, or no more of it."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _linger(self) -> None:
        """Close for writing, and continue to read for a while.

        If this closed both, a client that still sends would get a reset instead of the response
        (RFC 9112 §9.6).
        """
        self._refused = True
        # A connection beyond the bound must not occupy a descriptor any longer.
        if self._too_many or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write_eof()
        self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def takes_upgrade(self) -> bool:
        """Return whether the head asked for a WebSocket; uvicorn calls this."""
        return self._websocket

    def _asks_for_websocket(self) -> bool:
        """Return whether `Upgrade` offers WebSocket; if so, remove all other offers from it.

        An offer in HTTP/1.0 must be ignored (RFC 9110 §7.8).
        """
        if not self.speaks_websocket() or self.parser.get_http_version() != "1.1":
            return False
        if b"websocket" not in members_of(self.headers, b"upgrade"):
            return False
        kept = [field for field in self.headers if field[0] != b"upgrade"]
        self.headers[:] = [*kept, (b"upgrade", b"websocket")]  # in place: the scope has this list
        return True

    def _check_size(self) -> None:
        size = sum(map(len, chain.from_iterable(self.headers))) + 4 * len(self.headers)
        if len(self.url) > self.max_target_bytes or size > self.max_fields_bytes:
            self._refuse(self._too_large())

    def _too_large(self) -> Refusal:
        if len(self.url) > self.max_target_bytes:
            return heads.url_too_long(self.max_target_bytes)
        return heads.fields_too_large(self.max_fields_bytes)

    def _check_websocket(self, known: dict[bytes, bytes]) -> None:
        method, fields = self.parser.get_method(), self.headers
        # The WebSocket library accepts a length of zero only as `0`, not as `00`.
        fields[:] = [field for field in fields if field[0] != b"content-length"]
        limits = {"max_fields": self.max_websocket_fields, "max_line": self.max_websocket_line}
        refusal = heads.handshake_refusal(method, self.url, fields, known, **limits)
        if refusal is not None:
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        self._refusal = refusal
        self._reading_head, self._reading_body = True, False  # it is no request yet
        raise _HeadRefused

    def _answer(self) -> bytes:
        status, detail, more = self._refusal
        problem = self.represented(raw_problem(status, detail))
        log.info("request rejected", status=status, detail=detail, request_id=problem.request_id)
        common = [*self.server_state.default_headers, *self._common_fields(self._request_fields)]
        lines = [b"%b: %b\r\n" % field for field in (*problem.fields, *more, *common)]
        body = b"" if self.parser.get_method() == b"HEAD" else problem.body
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])

    def represented(self, problem: RawProblem) -> RawProblem:
        """Return the response to a rejected request; a subclass may give it another form."""
        return problem

    def _await_head(self, seconds: float) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(seconds, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
