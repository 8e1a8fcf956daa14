"""The HTTP data path: a lean proxy that streams both ways, without FastAPI."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
import structlog
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from chassis.errors import DomainError
from chassis.http.context import request_id_of
from gateway.admission import Admission
from gateway.answers import answer_to
from gateway.bodies import RequestBody, stalled
from gateway.bulkheads import Bulkhead, Bulkheads
from gateway.errors import ClientGone, Refused
from gateway.headers import read_head, response_fields, upstream_fields, with_host_cookies
from gateway.paths import check_path, target_of
from gateway.routes import Route
from gateway.streams import Streams
from gateway.tracing import ROUTE, Traces
from gateway.upstreams import Body, Upstream

# Most responses arrive earlier. A task that watches for the client's disconnect is worth its cost
# only for the others.
_WATCH_AFTER_SECONDS = 0.05
_LINGER_SECONDS = 2.0
_TOO_LARGE = 413

log = structlog.get_logger(__name__)


class Proxy:
    """Serves the paths of the route table.

    Args:
        upstreams: the services, by their names in the route table.
        admission: decides whether a request may pass.
        bulkheads: keep connections free for other routes.
        streams: holds the responses that are streams of events.
        traces: passes the trace on.
    """

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        admission: Admission,
        bulkheads: Bulkheads,
        streams: Streams,
        traces: Traces,
    ) -> None:
        self._upstreams = upstreams
        self._admission = admission
        self._bulkheads = bulkheads
        self._streams = streams
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        try:
            await self._serve(scope, receive, send)
        except ClientGone:
            return
        except (Refused, DomainError) as error:
            answer = answer_to(Request(scope), error)
            if answer.status_code == _TOO_LARGE:
                send = _lingering(receive, send)
            await answer(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = asyncio.get_running_loop().time()
        check_path(scope["raw_path"])
        route: Route | None = scope[ROUTE]
        if route is None:
            message = f"No route has the path {scope['path']}. See /docs for the paths of the API."
            raise Refused(404, message)
        head = read_head(scope)
        admitted = await self._admission.admit(scope, head, route)
        fields = upstream_fields(
            scope, head, origin=admitted.origin, request_id=request_id_of(scope)
        )
        fields += self._traces.upstream_fields(scope, head.baggage)
        if route.host_cookies:
            fields = with_host_cookies(fields, head)
        exchange = _Exchange(
            upstream=self._upstreams[route.service],
            body=RequestBody(head=head, receive=receive, max_bytes=route.max_body_bytes),
            bulkhead=self._bulkheads.of(route),
            streams=self._streams if route.stream else None,
            receive=receive,
            send=send,
            extra=admitted.fields,
        )
        await exchange.run(
            scope["method"], target_of(scope), fields, began=began, seconds=route.timeout
        )


def _lingering(receive: Receive, send: Send) -> Send:
    """Return a `send` that keeps reading for up to 2 s before it ends the response.

    Otherwise a client that is still sending would get a reset instead of the response
    (RFC 9112 §9.6).
    """

    async def linger(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})

    return linger


class _Exchange:
    """One request to a service and its response."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        body: RequestBody,
        bulkhead: Bulkhead | None,
        streams: Streams | None,
        receive: Receive,
        send: Send,
        extra: list[tuple[bytes, bytes]],
    ) -> None:
        self._upstream = upstream
        self._body = body
        self._bulkhead = bulkhead
        self._streams = streams
        self._receive = receive
        self._send = send
        self._extra = extra
        self._started = False

    async def run(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        *,
        began: float,
        seconds: float,
    ) -> None:
        """Send the request and pass the response back, within `seconds` from `began`."""
        watch = _Watch(self._receive, self._body)
        at = began + seconds
        try:
            async with asyncio.timeout_at(at) as deadline:
                watch.begin(deadline)
                if self._bulkhead is None:
                    content = await self._body.content()
                    await self._exchange(method, target, fields, deadline, content)
                else:
                    # Read the body first: a slow client must not hold a place while it sends.
                    content = await self._body.whole()
                    with self._bulkhead.place():
                        await self._exchange(method, target, fields, deadline, content)
        except TimeoutError as error:
            if self._ends_with_process(client_gone=watch.client_gone):
                await self._send({"type": "http.response.body", "body": b""})
                return
            failure = self._late(seconds, client_gone=watch.client_gone)
            if not self._broke_off(failure):
                raise failure from error
        except (Refused, DomainError) as error:
            if not self._broke_off(error):
                raise
        finally:
            watch.end()

    def _ends_with_process(self, *, client_gone: bool) -> bool:
        """Return whether a stream has begun that only the end of this process can end."""
        return self._streams is not None and self._started and not client_gone

    async def _exchange(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        deadline: asyncio.Timeout,
        content: Body,
    ) -> None:
        response = await self._request(method, target, fields, deadline.when(), content)
        try:
            if self._streams is None:
                await self._pass_back(response)
            else:
                with self._streams.unlimited(deadline):
                    await self._pass_back(response)
        finally:
            response.close()  # a response read to its end has already returned its connection

    async def _request(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        at: float | None,
        content: Body,
    ) -> aiohttp.ClientResponse:
        try:
            return await self._upstream.request(
                method,
                target,
                fields=fields,
                body=content,
                deadline=at,
                stream=self._streams is not None,
            )
        except (Refused, DomainError) as error:
            if self._body.failure is not None:
                raise self._body.failure from error
            raise

    async def _pass_back(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        fields = response_fields(status, response.raw_headers)
        content = response.content
        with self._upstream.translated():
            part = content.read_nowait()
        self._started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": fields + self._extra}
        )
        while not content.at_eof():
            if part:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            with self._upstream.translated():
                part = await content.readany()
        await self._send({"type": "http.response.body", "body": part})

    def _late(self, seconds: float, *, client_gone: bool) -> Refused | ClientGone:
        if client_gone:
            return ClientGone()
        if not self._body.complete:
            return stalled()
        self._upstream.timed_out()
        detail = (
            f"The service did not respond within {seconds:g} s. The request may have taken effect. "
            "Check that before you send it again, or send it with the same Idempotency-Key."
        )
        return Refused(504, detail)

    def _broke_off(self, failure: Exception) -> bool:
        """Return whether the response has begun. If so, the connection can only be closed."""
        if self._started and not isinstance(failure, ClientGone):
            log.warning("response aborted", error=str(failure))
        return self._started


class _Watch:
    """Ends an exchange if its client disconnects after the request was read."""

    def __init__(self, receive: Receive, body: RequestBody) -> None:
        self.client_gone = False
        self._receive = receive
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, deadline: asyncio.Timeout) -> None:
        """Start to watch later: most requests end sooner, and a task for each costs too much."""
        self._timer = self._loop.call_later(_WATCH_AFTER_SECONDS, self._start, deadline)

    def _start(self, deadline: asyncio.Timeout) -> None:
        if self._body.complete:
            self._task = self._loop.create_task(self._watch(deadline))
        else:
            self.begin(deadline)  # until then the body's reader sees a disconnect

    async def _watch(self, deadline: asyncio.Timeout) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        if not deadline.expired():
            deadline.reschedule(self._loop.time())

    def end(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
