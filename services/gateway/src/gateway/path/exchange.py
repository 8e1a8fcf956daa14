"""One proxied request of a client and its response: its course, from admission to its end."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, override

import structlog
from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import DomainError
from chassis.http.failures import failure_response
from chassis.unanswered import failure_status
from gateway.admission import Admitted
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.headers import RequestHead, read_head
from gateway.links.problems import as_accepted
from gateway.path.answering import AnsweredRequest
from gateway.path.forwarding import Forwarding
from gateway.path.links import Outcome
from gateway.path.request_body import HIGH_WATER_BYTES, RequestBody, stalled
from gateway.path.server import PathServer, ServedRoute
from gateway.paths import check_path, is_plain
from gateway.routes import Route

if TYPE_CHECKING:
    from gateway.path.protocol import PathProtocol

_CLOSE = {"Connection": "close"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = structlog.get_logger(__name__)


class _Nobody:
    """Stands for the event that uvicorn sets to wake the task of an ASGI cycle."""

    def set(self) -> None:
        """Wake nobody."""


class Exchange(AnsweredRequest):
    """One request and its response; to uvicorn's protocol it is a cycle like those of ASGI.

    States: queued (behind earlier requests) → admitted, at once or by a task → forwarding (by
    `Forwarding`, once enough of its body arrived) → responding → ended. From each state before
    "ended" it can be refused, and left by its client.

    Args:
        client: the connection that the request came on.
        server: what all exchanges share.
        route: the request's entry of the route table; None if there is none.
        method: like `raw_path`, `target` and `version`: see `ProxiedRequest`.
        keep_alive: whether the connection may be used again.
        has_body: whether a body follows.

    Attributes:
        body: what arrived of its body.
        expects_continue: whether the client waits for `100 Continue` before it sends the body.
    """

    message_event = _Nobody()

    __slots__ = (
        "_admitting",
        "_began",
        "_body_failure",
        "_deadline",
        "_forwarding",
        "_head_at",
        "_ready",
        "_served",
        "_server",
        "_settled",
        "body",
        "expects_continue",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a request; keywords cost 0.1 µs a level
        self,
        client: "PathProtocol",
        server: PathServer,
        route: Route | None,
        method: bytes,
        raw_path: bytes,
        target: bytes,
        version: str,
        keep_alive: bool,
        has_body: bool,
    ) -> None:
        super().__init__(client, route, method, raw_path, target, version, keep_alive)
        self._server = server
        self._served: ServedRoute | None = None
        self.expects_continue = False
        self.body = RequestBody(has_body, 0 if route is None else route.max_body_bytes)
        self._body_failure: Refused | None = None
        self._began = 0.0
        self._deadline = math.inf
        self._head_at = 0.0
        self._ready = False
        self._settled = False
        self._forwarding: Forwarding | None = None
        self._admitting: asyncio.Task[None] | None = None

    # The request, as it arrives.

    @property
    def begun(self) -> bool:
        """Whether it is its turn, or was."""
        return self._began > 0

    @property
    def over(self) -> bool:
        """Whether its client gets no more of a response."""
        return self.response_complete or self.disconnected

    def begin(self) -> None:
        """Serve the request: it is its turn."""
        self._began = time.monotonic()
        self._server.metrics.began()
        self._server.sweep.add(self)
        self.attempt(self._admit)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if self.over:
            return
        try:
            self.body.take(part, time.monotonic())
        except Refused as error:
            self._body_failure = error
            if self.begun:
                self.refuse(error)
            return
        self._on_request()
        if self._forwarding is None and self.body.held > HIGH_WATER_BYTES and not self._collects():
            self.client.pause_body()

    def on_request_complete(self) -> None:
        """Take the end of the request; one without a body begins now."""
        self.body.complete = True
        if not self._began:
            self.client.begin_if_first(self)
        elif not self.over:
            self._on_request()

    def _on_request(self) -> None:
        if self._forwarding is not None:
            self._forwarding.send_more()
        elif self._ready:
            self.attempt(self._forward)

    def _collects(self) -> bool:
        """Return whether the whole body is read before a place is taken; its size is limited."""
        return self._ready and bool(self.route and self.route.bulkhead)

    def _admit(self) -> None:
        server, route = self._server, self.route
        try:
            if not is_plain(self.raw_path):
                check_path(self.raw_path)
            self.head = read_head(self.lines, server.kinds, version=self.version)
        finally:
            self.identify()
            self.trace = server.traces.begin(self)
        head = self.head
        if route is None:
            message = f"No route has the path {self.path}. See /docs for the paths of the API."
            raise Refused(404, message)
        self._served = served = server.served(route)
        self.extra = served.standing
        self._deadline = self._began + route.timeout
        self.body.begin(head.length, self._began)
        admitted = server.admission.admit_now(self, head, route)
        if admitted is None:
            self._admitting = self.client.loop.create_task(self._admit_later(head, route))
        else:
            self._admitted(admitted)

    async def _admit_later(self, head: RequestHead, route: Route) -> None:
        """Admit a request whose admission must ask Valkey, or the users service about a key."""
        with self.bound():
            try:
                admitted = await self._server.admission.admit(self, head, route)
            except Exception as error:  # noqa: BLE001 - the client gets an answer to each
                self._admitting = None
                self.fail(error)
            else:
                self._admitting = None
                self.attempt(lambda: self._admitted(admitted))

    def _admitted(self, admitted: Admitted) -> None:
        self.extra = [*self.extra, *admitted.fields]
        if admitted.caller is not None:
            self.user_id = admitted.caller.subject
        if admitted.refusal is not None:
            raise admitted.refusal
        if self._body_failure is not None:
            raise self._body_failure
        self.body.check_length()
        if self.expects_continue and not (self.body.complete or self.body.begun):
            self.client.transport.write(_CONTINUE)
        self.expects_continue = False
        self._ready = True
        self._forward()
        if self._forwarding is None:
            self.client.resume_body()

    def _forward(self) -> None:
        """Hand the request over once its body is there, or a part of it suffices."""
        if not self.body.complete and (not self.body.begun or self._collects()):
            return
        head, served = self.head, self._served
        if head is None or served is None:
            return  # it was refused
        self._forwarding = forwarding = Forwarding(self, served, head, self._deadline)
        if head.baggage and self._server.traces.believes(self.origin):
            forwarding.baggage = head.baggage
        forwarding.forward()

    # The response.

    def on_stream(self) -> None:
        """Let the response last for as long as its client and the service want."""
        self._head_at = time.monotonic()
        self._deadline = self._server.streams.began(self)
        if self._forwarding is not None:
            self._forwarding.opened()
        if self._server.streams.draining:
            self.end_stream()

    @override
    def write(self, data: bytes) -> None:
        super().write(data)
        if self._head_at:
            self._deadline = self._server.streams.silent_until()

    def complete(self, outcome: Outcome) -> None:
        """End the response."""
        self.end_body()
        self._settle(outcome)
        self.client.on_exchange_complete(self)

    def end_stream(self) -> None:
        """End the response as a complete one: its client connects again."""
        if not self.over:
            self._cancel()
            self.complete("answered")

    # Refusals and failures.

    def refuse(self, error: Refused | DomainError, outcome: Outcome = "cancelled") -> None:
        """Send a problem document, or close the connection if the response has begun."""
        self._end_with(error, outcome, lambda: answer_to(Request(self.scope()), error))

    def fail(self, error: Exception, outcome: Outcome = "cancelled") -> None:
        """Answer an error that nobody expected; it is logged."""
        if isinstance(error, (Refused, DomainError)):
            self.refuse(error, outcome)
            return
        with self.bound():
            answer = failure_response(Request(self.scope()), error)
        self._end_with(error, outcome, lambda: answer)

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; the parser would take an error of it for an error of the client."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the client gets an answer to each
            self.fail(error)

    def _end_with(self, error: Exception, outcome: Outcome, answer: Callable[[], Response]) -> None:
        if self.over:
            return
        self._cancel()
        if self.response_started:
            self._break_off(error, outcome)
        else:
            self._send(answer(), outcome)

    def _send(self, answer: Response, outcome: Outcome) -> None:
        """Send a response of the gateway itself."""
        fields = [field for field in answer.raw_headers if field[0] != b"connection"]
        names = {name for name, _ in fields}
        self.extra = [field for field in self.extra if field[0] not in names]
        if answer.headers.get("connection") == "close" or self.expects_continue:
            # A client that waits for `100 Continue` may send the body or not.
            self.keep_alive = False
        self.drop_unwritten()
        fields, body = as_accepted(self.lines, fields, bytes(answer.body))
        self.respond(answer.status_code, fields)
        self.write(body)
        self.complete(outcome)

    def _break_off(self, error: Exception, outcome: Outcome) -> None:
        with self.bound():
            log.warning("response aborted", error=str(error))
        self.disconnected = True
        self._settle(outcome)
        self.cut()

    # Its ends.

    def leave(self) -> None:
        """End without a response: the client has gone, or sent what can't be parsed."""
        if not self.over:
            self.disconnected = True
            self._cancel()
            if self.begun:
                self._settle("cancelled")

    def expire(self, now: float) -> None:
        """End if the deadline has passed, or if the body does not arrive."""
        if self._admitting is not None:
            return  # it has time limits of its own
        late = now >= self._deadline
        if late and self._head_at:
            self._server.streams.end_silent(self)
        elif self.body.complete or self.client.body_paused:
            if late and self._forwarding is not None:
                self._forwarding.expire()
        elif late or self.body.stalled(now):
            self.refuse(stalled())

    def stop(self) -> None:
        """Answer that the process stops."""
        self.refuse(Refused(*failure_status(stopping=True), headers=_CLOSE))

    def pause(self, *, pausing: bool) -> None:
        """Stop to read from the service, or read again: the client takes the response or not."""
        if self._forwarding is not None:
            self._forwarding.pause() if pausing else self._forwarding.resume()

    def _cancel(self) -> None:
        if self._admitting is not None:
            self._admitting.cancel()
            self._admitting = None
        if self._forwarding is not None:
            self._forwarding.cancel()

    def _settle(self, outcome: Outcome) -> None:
        """Give back what it holds, and record it."""
        if self._settled:
            return
        self._settled = True
        server = self._server
        server.sweep.discard(self)
        now = time.monotonic()
        if self._forwarding is not None:
            self._forwarding.settle(outcome, now)
            self._forwarding = None  # breaks a cycle: the collector took 5 % of the CPU to find it
        seconds = now - self._began
        measured = seconds
        if self._head_at:
            server.streams.ended(self)
            measured = self._head_at - self._began
        # The client of a stream ends it by leaving.
        left_stream = bool(self._head_at) and outcome == "cancelled"
        server.record(self, seconds, measured, whole=self.response_complete or left_stream)
