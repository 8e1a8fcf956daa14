"""One proxied request of a client and its response."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import DomainError
from chassis.http.context import accepted_id
from chassis.http.failures import failure_response
from chassis.unanswered import failure_status
from gateway.admission import Admitted
from gateway.answers import answer_to
from gateway.errors import Refused
from gateway.exchange import FieldLines
from gateway.headers import RequestHead, read_head
from gateway.links.problems import as_accepted
from gateway.path.forwarding import Forwarding
from gateway.path.links import Outcome
from gateway.path.request import RAW_ID, Nobody, ProxiedRequest
from gateway.path.request_body import HIGH_WATER_BYTES, RequestBody, stalled
from gateway.path.response import ResponseWriter
from gateway.path.server import PathServer
from gateway.paths import check_path
from gateway.routes import Auth, Route

if TYPE_CHECKING:
    from gateway.path.protocol import PathProtocol

_CLOSE = {"Connection": "close"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = structlog.get_logger(__name__)


class Exchange(ProxiedRequest):
    """One request and its response; to uvicorn's protocol it is a cycle like those of ASGI.

    States: queued (behind earlier requests) → admitted, at once or by a task → forwarding (by
    `Forwarding`, once enough of its body arrived) → responding → ended. From each state before
    "ended" it can be refused, and left by its client.

    Args:
        client: the connection that the request came on.
        server: what all exchanges share.
        route: the request's entry of the route table; None if there is none.
        method: like `raw_path`, `target`, `lines` and `version`: see `ProxiedRequest`.
        keep_alive: whether the connection may be used again.
        has_body: whether a body follows.

    Attributes:
        response_started: whether a part of the response was sent; `response_complete`: all of it.
        disconnected: whether nobody gets the response.
        keep_alive: whether the connection stays open after it.
        expects_continue: whether the client waits for `100 Continue` before it sends the body.
    """

    message_event = Nobody()

    __slots__ = (
        "_admitting",
        "_began",
        "_body_failure",
        "_client",
        "_deadline",
        "_extra",
        "_forwarding",
        "_head_at",
        "_out",
        "_ready",
        "_server",
        "_settled",
        "_writer",
        "body",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "response_complete",
        "response_started",
        "status",
    )

    def __init__(  # noqa: PLR0913 - the parts of a request
        self,
        client: "PathProtocol",
        server: PathServer,
        *,
        route: Route | None,
        method: bytes,
        raw_path: bytes,
        target: bytes,
        lines: FieldLines,
        version: str,
        keep_alive: bool,
        has_body: bool,
    ) -> None:
        super().__init__(
            client, method=method, raw_path=raw_path, target=target, lines=lines, version=version
        )
        self._client = client
        self._server = server
        self.route = route
        self.keep_alive = keep_alive
        self.expects_continue = False
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.status = 0
        self.body = RequestBody(expected=has_body, max_bytes=route.max_body_bytes if route else 0)
        self._body_failure: Refused | None = None
        self._began = 0.0
        self._deadline = math.inf
        self._head_at = 0.0
        self._ready = self._settled = False
        self._extra: FieldLines = []
        self._out: list[bytes] = []
        self._writer: ResponseWriter | None = None
        self._forwarding: Forwarding | None = None
        self._admitting: asyncio.Task[None] | None = None

    # The request, as it arrives.

    @property
    def begun(self) -> bool:
        """Whether it is its turn, or was."""
        return self._began > 0

    def begin(self) -> None:
        """Serve the request: it is its turn."""
        self._began = time.monotonic()
        self._server.metrics.began()
        self._server.sweep.add(self)
        self.attempt(self._admit)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if self.response_complete or self.disconnected:
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
            self._client.pause_body()

    def on_request_complete(self) -> None:
        """Take the end of the request; one without a body begins now."""
        self.body.complete = True
        if not self.begun:
            self._client.begin_if_first(self)
        elif not (self.response_complete or self.disconnected):
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
        head = None
        try:
            check_path(self.raw_path)
            self.head = head = read_head(self.lines, self._server.kinds, version=self.version)
            self._request_id = accepted_id(head.request_id)
        finally:
            self.trace = self._server.traces.begin(
                method=self.method,
                place="" if self.route is None else self.route.prefix,
                path=self.path,
                scheme=self._client.scheme or "http",
                lines=self.lines if head is None or head.traced else (),
                trusted=self.origin.trusted,
            )
        if (route := self.route) is None:
            message = f"No route has the path {self.path}. See /docs for the paths of the API."
            raise Refused(404, message)
        self._extra = self._server.served(route).standing
        self._deadline = self._began + route.timeout
        self.body.begin(head.length, self._began)
        admitted = self._server.admission.admit_now(self, head, route)
        if admitted is None:
            self._admitting = self._client.loop.create_task(self._admit_later(head, route))
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
        self._extra = [*self._extra, *admitted.fields]
        self.user_id = admitted.user_id
        if admitted.refusal is not None:
            raise admitted.refusal
        if self._body_failure is not None:
            raise self._body_failure
        self.body.check_length()
        if self.expects_continue and not (self.body.complete or self.body.begun):
            self._client.transport.write(_CONTINUE)
        self.expects_continue, self._ready = False, True
        self._forward()
        if self._forwarding is None:
            self._client.resume_body()

    def _forward(self) -> None:
        """Hand the request over once its body is there, or a part of it suffices."""
        if not self.body.complete and (not self.body.begun or self._collects()):
            return
        head, route = self.head, self.route
        if head is None or route is None:
            return  # it was refused
        forwarding = Forwarding(self, self._client, self._server.served(route), head)
        self._forwarding = forwarding
        fields = self.trace.fields
        if head.baggage and self._server.traces.believes(self.origin):
            fields = [*fields, *((b"baggage", value) for value in head.baggage)]
        forwarding.begin(fields, self._deadline)

    # The response.

    def respond(self, status: int, fields: FieldLines) -> None:
        """Begin the response with a service's status and fields."""
        self._writer = writer = ResponseWriter(
            status=status,
            fields=fields,
            head_only=self.raw_method == b"HEAD",
            http_10=self.version == "1.0",
            private=self.route is not None and self.route.auth is not Auth.PUBLIC,
        )
        if writer.closes:
            self.keep_alive = False
        self.status, self.response_started = status, True
        more = [*self._extra, (RAW_ID, self.request_id.encode())]
        common = self._client.common_lines(self.origin_field)
        self._out.append(writer.head(common, more, keep_alive=self.keep_alive))
        if self.route is not None and self.route.stream:
            self._head_at = time.monotonic()
            self._deadline = self._server.streams.began(self)
            if self._forwarding is not None:
                self._forwarding.opened()
            if self._server.streams.draining:
                self.end_stream()

    def write(self, data: bytes) -> None:
        """Add a part of the response's body; `flush` writes it."""
        if self._writer is not None:
            self._out.append(self._writer.part(data))
        if self._head_at:
            self._deadline = self._server.streams.silent_until()

    def flush(self) -> None:
        """Write what was added."""
        if self._out:
            self._client.transport.write(b"".join(self._out))
            self._out.clear()

    def complete(self, outcome: Outcome) -> None:
        """End the response."""
        if self._writer is not None:
            self._out.append(self._writer.end())
        self.flush()
        self.response_complete = True
        self._settle(outcome)
        self._client.on_exchange_complete(self)

    def end_stream(self) -> None:
        """End the response as a complete one: its client connects again."""
        if not (self.response_complete or self.disconnected):
            self._cancel()
            self.complete("answered")

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

    def _end_with(self, error: Exception, outcome: Outcome, answer: Callable[[], Response]) -> None:
        if self.response_complete or self.disconnected:
            return
        self._cancel()
        if self.response_started:
            self._break_off(error, outcome)
        else:
            self._send(answer(), outcome)

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; the parser would take an error of it for an error of the client."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the client gets an answer to each
            self.fail(error)

    def _send(self, answer: Response, outcome: Outcome) -> None:
        """Send a response of the gateway itself."""
        fields = [field for field in answer.raw_headers if field[0] != b"connection"]
        self._extra = [field for field in self._extra if field[0] not in dict(fields)]
        if answer.headers.get("connection") == "close" or self.expects_continue:
            # A client that waits for `100 Continue` may send the body or not.
            self.keep_alive = False
        self._out.clear()
        fields, body = as_accepted(self.lines, fields, bytes(answer.body))
        self.respond(answer.status_code, fields)
        self.write(body)
        self.complete(outcome)

    def _break_off(self, error: Exception, outcome: Outcome) -> None:
        with self.bound():
            log.warning("response aborted", error=str(error))
        self.disconnected = True
        self._settle(outcome)
        if self._writer is not None and self._writer.closes:
            self._client.transport.abort()  # a plain end would complete the response
        else:
            self.flush()
            self._client.transport.close()

    # Its ends.

    def leave(self) -> None:
        """End without a response: the client has gone, or sent what can't be parsed."""
        if not (self.response_complete or self.disconnected):
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
        elif self.body.complete or self._client.body_paused:
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
        seconds = time.monotonic() - self._began
        if self._forwarding is not None:
            self._forwarding.settle(outcome)
            self._forwarding = None  # breaks a cycle: the collector took 5 % of the CPU to find it
        if self._head_at:
            server.streams.ended(self)
        measured = self._head_at - self._began if self._head_at else seconds
        server.record(self, status=self.status, seconds=seconds, measured=measured)
