"""The service's side of an exchange: the request goes there, the response comes back."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chassis.errors import Unavailable
from gateway.errors import Refused
from gateway.exchange import (
    SAFE_METHODS,
    FieldLines,
    UpstreamAnswer,
    UpstreamRequest,
    lines_of,
)
from gateway.headers import RequestHead
from gateway.links.passage import MAX_HELD_BYTES, Passage, RouteLinks
from gateway.path.links import Outcome, guard_result
from gateway.path.request import RAW_ID
from gateway.path.request_body import HIGH_WATER_BYTES
from gateway.path.server import ServedRoute
from gateway.pool import Broken, Call, request_head
from gateway.pool.connection import UpstreamConnection
from gateway.response_heads import response_fields
from gateway.upstream_heads import authority_of, with_host_cookies

if TYPE_CHECKING:
    from gateway.path.exchange import Exchange

_FIRST_ERROR = 400
_BODILESS = frozenset({204, 304})


class Forwarding(Call):
    """Forwards one request, and passes the response back.

    States: waiting (for a connection, or for the response to another request) → sending →
    responding → ended. It holds a place of the route's bulkhead, and is counted by the service's
    guard, until `settle`. A response of at most 1 MiB is held until its end if a link of the route
    has something to do with it.

    Args:
        exchange: the client's side.
        served: the route.
        head: the request's head.
        deadline: when the client is told that the service is late.

    Attributes:
        baggage: the values of `Baggage` to pass on.
    """

    __slots__ = (
        "_answer",
        "_began",
        "_deadline",
        "_exchange",
        "_head",
        "_head_at",
        "_holds_place",
        "_passage",
        "_permit",
        "_request",
        "_retries",
        "_retry",
        "_served",
        "_status",
        "baggage",
    )

    def __init__(
        self, exchange: "Exchange", served: ServedRoute, head: RequestHead, deadline: float
    ) -> None:
        super().__init__(
            served.pool, method=exchange.raw_method, has_body=exchange.body.received > 0
        )
        self._exchange = exchange
        self._served = served
        self._head = head
        self._deadline = deadline
        self.baggage: Sequence[bytes] = ()
        self._began = 0.0
        self._holds_place = False
        self._permit: int | None = None
        self._status = 0
        self._head_at = 0.0
        self._retries = 0
        self._retry: asyncio.TimerHandle | None = None
        self._passage: Passage | None = None
        self._request: UpstreamRequest | None = None
        self._answer: UpstreamAnswer | None = None

    def forward(self) -> None:
        """Take a place and a connection, unless a link has the response.

        Raises:
            Refused: a link refuses the request.
            DomainError: likewise, or no place is free, or the guard refuses it.
        """
        self._began = time.monotonic()
        links = self._served.links
        if links is not None and (links.cacheable or self._head.negotiated):
            self._enter(links)
            self._go_on()
        else:
            self._ask()

    def _ask(self) -> None:
        """Ask the service, if it may get another request."""
        served = self._served
        try:
            if served.bulkhead is not None:
                served.bulkhead.take()
                self._holds_place = True
            self._permit = served.guard.begin(self._began)
        except Unavailable as error:
            self._failed(error, "cancelled")
            return
        self.begin()

    def cancel(self) -> None:
        """End the request to the service."""
        super().cancel()
        if self._retry is not None:
            self._retry.cancel()

    def settle(self, outcome: Outcome, now: float) -> None:
        """Give the place back, and tell the guard and the links how it ended."""
        if self._holds_place and self._served.bulkhead is not None:
            self._holds_place = False
            self._served.bulkhead.give_back()
        if self._permit is not None:
            self._report(self._permit, outcome, now)
        if self._passage is not None:
            self._passage.leave()

    def opened(self) -> None:
        """Tell the guard that the service opened a stream: it stays open for hours."""
        if self._permit is not None:
            self._report(self._permit, "answered", time.monotonic())

    def _report(self, permit: int, outcome: Outcome, now: float) -> None:
        self._permit = None
        served = self._served
        served.guard.end(
            permit,
            now,
            guard_result(outcome, self._status),
            seconds=(self._head_at or now) - self._began,
            slow_is_normal=served.bulkhead is not None,
        )

    def expire(self) -> None:
        """Answer that the service did not respond in time."""
        self._failed(self._timed_out(), "late")

    def _timed_out(self) -> Refused:
        self._served.upstream.timed_out()
        detail = (
            f"The service did not respond within {self._served.route.timeout:g} s. The request may "
            "have taken effect. Check that before you send it again, or send it with the same "
            "Idempotency-Key."
        )
        return Refused(504, detail)

    # The request.

    def on_connection(self, connection: UpstreamConnection) -> None:
        """Write the request's head, and what is there of the body."""
        exchange, head = self._exchange, self._head
        fields = head.fields
        if self._served.route.host_cookies:
            fields = with_host_cookies(fields, head)
        if self.baggage:
            fields = [*fields, *((b"baggage", value) for value in self.baggage)]
        lines = b"%b%b: %b\r\n%b%b%b" % (
            lines_of(fields),
            RAW_ID,
            exchange.request_id.encode(),
            exchange.trace.lines,
            exchange.client.origin_lines(head, exchange.origin),
            exchange.body.framing(),
        )
        raw = request_head(exchange.raw_method, exchange.target, lines, deadline=self._deadline)
        self._write(connection, raw)

    def send_more(self) -> None:
        """Write what has arrived of the body since."""
        if self.connection is not None and not (self.sent or self.ended):
            self._write(self.connection, b"")
            return
        body = self._exchange.body
        if not body.complete and body.held > HIGH_WATER_BYTES:
            self._exchange.client.pause_body()

    def _write(self, connection: UpstreamConnection, head: bytes) -> None:
        """Write a head, and what is held of the body; read more of it if the service takes it."""
        body, client = self._exchange.body, self._exchange.client
        data = head + body.parts() if body.received else head
        if data:
            connection.write(data)
        self.sent = body.complete
        if not body.complete:
            if connection.writable:
                client.resume_body()
            else:
                client.pause_body()

    def on_writable(self) -> None:
        """Read the client's body again: the service takes it."""
        self._exchange.client.resume_body()

    # The response.

    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Begin the response, or hold it for the links."""
        try:
            kept = response_fields(status, fields)
        except Refused as error:
            self._exchange.refuse(error, "broken")
            return
        self._status, self._head_at = status, time.monotonic()
        if (
            status < _FIRST_ERROR
            and self._exchange.raw_method not in SAFE_METHODS
            and self._served.links is not None
        ):
            self._served.links.changed()
        if self._passage is not None and self._passage.holds(status, kept):
            self._answer = UpstreamAnswer(status=status, fields=kept)
        else:
            self._exchange.respond(status, kept)

    def on_part(self, data: bytes) -> None:
        """Pass on a part of the body, or hold it for the links."""
        answer = self._answer
        if answer is None:
            self._exchange.write(data)
            return
        answer.body += data
        if len(answer.body) > MAX_HELD_BYTES:
            self._answer = None
            self._exchange.attempt(lambda: self._let_through(answer))

    def on_parsed(self) -> None:
        """Write what arrived together; stop to read if the client does not take it."""
        self._exchange.flush()
        if self._exchange.client.write_paused:
            self.pause()

    def on_end(self) -> None:
        """End the response."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self._exchange.attempt(lambda: self._finish(answer))
        else:
            self._exchange.complete("answered")

    def on_unreachable(self, error: Exception) -> None:
        """Try again if that can do no harm, or answer that the service can't be reached."""
        exchange, guard = self._exchange, self._served.guard
        if not exchange.body.received:
            delay = guard.retry_delay(exchange.raw_method, retries=self._retries)
            if delay is not None:
                self._retries += 1
                self._retry = exchange.client.loop.call_later(delay, self._begin_again)
                return
        failure = self._served.upstream.unreachable()
        failure.__cause__ = error
        self._failed(failure, "unreachable")

    def _begin_again(self) -> None:
        self._retry = None
        self.begin()

    def on_broken(self, error: Broken) -> None:
        """Answer that the service gave no valid response, or close the connection."""
        failure = self._served.upstream.broken()
        failure.__cause__ = error
        self._failed(failure, "broken")

    def pause(self) -> None:
        """Read no more of the response."""
        if self.connection is not None and not self.ended:
            self.connection.pause_reading()

    def resume(self) -> None:
        """Read the response again."""
        if self.connection is not None and not self.ended:
            self.connection.resume_reading()

    # The links.

    def _enter(self, links: RouteLinks) -> None:
        """Let the request enter the links of its route."""
        exchange, head = self._exchange, self._head
        self._request = request = UpstreamRequest(
            method=exchange.raw_method,
            target=exchange.target,
            route=self._served.route,
            fields=head.fields,
            authenticated=exchange.user_id is not None,
            authority=authority_of(head, exchange.origin, exchange.scheme),
            has_body=exchange.body.received > 0,
        )
        self._passage = links.enter(request, self._resume)

    def _resume(self) -> None:
        """Go on: the request that this one waited for has ended."""
        self._began = time.monotonic()
        self._exchange.attempt(self._go_on)

    def _go_on(self) -> None:
        """Respond, wait, or ask the service, as the links say."""
        if self._request is not None:
            self._head.fields = self._request.fields
        passage = self._passage
        if passage is None:
            self._ask()
        elif passage.answered:
            self._respond_whole(passage.take())
        elif not passage.waiting:
            self._ask()

    def _finish(self, answer: UpstreamAnswer) -> None:
        """Pass a whole response through the links."""
        self._respond_whole(answer if self._passage is None else self._passage.finish(answer))

    def _let_through(self, answer: UpstreamAnswer) -> None:
        """Begin to stream a response that is too large to be held."""
        if self._passage is not None:
            self._passage.overflow(answer.status, answer.fields)
        self._exchange.respond(answer.status, answer.fields)
        self._exchange.write(answer.body)

    def _failed(self, failure: Refused | Unavailable, outcome: Outcome) -> None:
        """Answer a failure of the service, with an old copy if that is allowed."""

        def answer() -> None:
            started = self._exchange.response_started
            old = None if self._passage is None or started else self._passage.fail()
            if old is None:
                self._exchange.refuse(failure, outcome)
            else:
                self.cancel()
                self._respond_whole(old, outcome)

        self._exchange.attempt(answer)

    def _respond_whole(self, answer: UpstreamAnswer, outcome: Outcome = "answered") -> None:
        fields: FieldLines = answer.fields
        has_body = self._exchange.raw_method != b"HEAD" and answer.status not in _BODILESS
        if has_body:
            size = b"%d" % len(answer.body)
            fields = [item for item in fields if item[0] != b"content-length"]
            fields.append((b"content-length", size))
        self._exchange.respond(answer.status, fields)
        if has_body and answer.body:
            self._exchange.write(answer.body)
        self._exchange.complete(outcome)
