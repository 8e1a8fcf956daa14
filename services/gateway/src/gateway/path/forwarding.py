"""The service's side of an exchange: the request goes there, the response comes back."""

import time
from typing import TYPE_CHECKING

from gateway.errors import Refused
from gateway.exchange import FieldLines, UpstreamAnswer, UpstreamRequest
from gateway.headers import RequestHead, response_fields, upstream_fields, with_host_cookies
from gateway.path.links import MAX_LINKED_BYTES, Link, Outcome
from gateway.path.request_body import HIGH_WATER_BYTES
from gateway.path.server import ServedRoute
from gateway.pool import Broken, Call, request_head

if TYPE_CHECKING:
    from gateway.path.exchange import Exchange
    from gateway.path.protocol import PathProtocol

_BODILESS = frozenset({204, 304})


class Forwarding:
    """Forwards one request, and passes the response back.

    States: waiting (for a connection) → sending → responding → ended. It holds a place of the
    route's bulkhead, and is counted by the service's guard, until `settle`. On a route with links
    a response of at most 1 MiB is held until its end, and passed through them.

    Args:
        exchange: the client's side.
        client: the client's connection.
        served: the route.
        head: the request's head.
    """

    __slots__ = (
        "_answer",
        "_began",
        "_call",
        "_client",
        "_deadline",
        "_exchange",
        "_guarded",
        "_head",
        "_holds_place",
        "_request",
        "_served",
        "_trace_fields",
    )

    def __init__(
        self, exchange: "Exchange", client: "PathProtocol", served: ServedRoute, head: RequestHead
    ) -> None:
        self._exchange = exchange
        self._client = client
        self._served = served
        self._head = head
        self._trace_fields: FieldLines = []
        self._deadline = 0.0
        self._began = 0.0
        self._call: Call | None = None
        self._holds_place = False
        self._guarded = False
        self._request: UpstreamRequest | None = None
        self._answer: UpstreamAnswer | None = None

    def begin(self, trace_fields: FieldLines, deadline: float) -> None:
        """Take a place and a connection, unless a link has the response.

        Args:
            trace_fields: the fields that carry the trace.
            deadline: when the client is told that the service is late.

        Raises:
            Refused: a link refuses the request.
            DomainError: likewise, or no place is free, or the guard refuses it.
        """
        self._trace_fields = trace_fields
        self._deadline = deadline
        self._began = time.monotonic()
        served = self._served
        if served.links and self._answered_by_link():
            return
        if served.bulkhead is not None:
            served.bulkhead.take()
            self._holds_place = True
        if served.guard is not None:
            served.guard.begin()
            self._guarded = True
        exchange = self._exchange
        self._call = call = Call(
            served.pool,
            self,
            method=exchange.raw_method,
            has_body=exchange.body.begun,
        )
        call.begin()

    def cancel(self) -> None:
        """End the request to the service."""
        if self._call is not None:
            self._call.cancel()

    def settle(self, outcome: Outcome) -> None:
        """Give the place back, and tell the guard how it ended."""
        if self._holds_place and self._served.bulkhead is not None:
            self._holds_place = False
            self._served.bulkhead.give_back()
        if self._guarded and self._served.guard is not None:
            self._guarded = False
            self._served.guard.end(outcome, time.monotonic() - self._began)

    def timed_out(self) -> Refused:
        """Count and return the failure of a service that did not respond in time."""
        self._served.upstream.timed_out()
        detail = (
            f"The service did not respond within {self._served.route.timeout:g} s. The request may "
            "have taken effect. Check that before you send it again, or send it with the same "
            "Idempotency-Key."
        )
        return Refused(504, detail)

    # The request.

    def on_connection(self) -> None:
        """Write the request's head, and what is there of the body."""
        call, exchange = self._call, self._exchange
        if call is None or call.connection is None:
            return
        fields = upstream_fields(
            self._head,
            origin=exchange.origin,
            scheme=self._client.scheme or "http",
            request_id=exchange.request_id,
        )
        if self._served.route.host_cookies:
            fields = with_host_cookies(fields, self._head)
        fields += self._trace_fields
        head = request_head(
            exchange.raw_method,
            exchange.target,
            fields,
            deadline=self._deadline,
            framing=exchange.body.framing(),
        )
        call.connection.write(head)
        self.send_more()

    def send_more(self) -> None:
        """Write what has arrived of the body since."""
        call, body = self._call, self._exchange.body
        if call is None or call.connection is None or call.sent or call.ended:
            if not body.complete and body.held > HIGH_WATER_BYTES:
                self._client.pause_body()
            return
        parts = body.parts()
        if parts:
            call.connection.write(parts)
        call.sent = body.complete
        if not body.complete:
            if call.connection.writable:
                self._client.resume_body()
            else:
                self._client.pause_body()

    def on_writable(self) -> None:
        """Read the client's body again: the service takes it."""
        self._client.resume_body()

    # The response.

    def on_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Begin the response, or hold it for the links."""
        try:
            kept = response_fields(status, fields)
        except Refused as error:
            self._exchange.refuse(error, "broken")
            return
        if self._served.links:
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
        if len(answer.body) > MAX_LINKED_BYTES:
            self._answer = None
            self._exchange.respond(answer.status, answer.fields)
            self._exchange.write(answer.body)

    def on_parsed(self) -> None:
        """Write what arrived together; stop to read if the client does not take it."""
        self._exchange.flush()
        if self._client.write_paused:
            self.pause()

    def on_end(self) -> None:
        """End the response."""
        answer, request = self._answer, self._request
        if answer is not None and request is not None:
            self._answer = None
            self._exchange.attempt(lambda: self._after_links(request, answer))
        else:
            self._exchange.complete("answered")

    def on_unreachable(self, error: Exception) -> None:
        """Answer that the service can't be reached."""
        failure = self._served.upstream.unreachable()
        failure.__cause__ = error
        self._exchange.refuse(failure, "unreachable")

    def on_broken(self, error: Broken) -> None:
        """Answer that the service gave no valid response, or close the connection."""
        failure = self._served.upstream.broken()
        failure.__cause__ = error
        self._exchange.refuse(failure, "broken")

    def pause(self) -> None:
        """Read no more of the response."""
        if self._call is not None and self._call.connection is not None and not self._call.ended:
            self._call.connection.pause_reading()

    def resume(self) -> None:
        """Read the response again."""
        if self._call is not None and self._call.connection is not None and not self._call.ended:
            self._call.connection.resume_reading()

    # The links.

    def _answered_by_link(self) -> bool:
        """Pass the request through the links, and return whether one of them has the response."""
        exchange = self._exchange
        self._request = request = UpstreamRequest(
            method=exchange.raw_method,
            target=exchange.target,
            route=self._served.route,
            fields=self._head.fields,
            authenticated=exchange.authenticated,
        )
        passed: list[Link] = []
        for link in self._served.links:
            answer = link.before(request)
            if answer is not None:
                for outer in reversed(passed):
                    answer = outer.after(request, answer)
                self._respond_whole(answer)
                return True
            passed.append(link)
        self._head.fields = request.fields
        return False

    def _after_links(self, request: UpstreamRequest, answer: UpstreamAnswer) -> None:
        for link in reversed(self._served.links):
            answer = link.after(request, answer)
        self._respond_whole(answer)

    def _respond_whole(self, answer: UpstreamAnswer) -> None:
        fields: FieldLines = answer.fields
        has_body = self._exchange.raw_method != b"HEAD" and answer.status not in _BODILESS
        if has_body:
            size = b"%d" % len(answer.body)
            fields = [item for item in fields if item[0] != b"content-length"]
            fields.append((b"content-length", size))
        self._exchange.respond(answer.status, fields)
        if has_body and answer.body:
            self._exchange.write(answer.body)
        self._exchange.complete("answered")
