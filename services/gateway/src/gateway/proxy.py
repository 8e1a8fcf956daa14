"""The HTTP data path: a lean pass-through, streaming both ways, with nothing of FastAPI on it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
import structlog
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from chassis.errors import DomainError
from chassis.http.context import request_id_of
from chassis.telemetry.tracing import current_trace_headers
from gateway.admission import Admission
from gateway.answers import answer_to
from gateway.bodies import RequestBody, stalled
from gateway.errors import ClientGone, Refused
from gateway.headers import read_head, response_fields, upstream_fields
from gateway.paths import check_target, target_of
from gateway.routes import Route
from gateway.tracing import ROUTE
from gateway.upstreams import Body, Upstream

# Most answers are there before; only for the others it is worth watching the client.
_WATCH_AFTER_SECONDS = 0.05
_LINGER_SECONDS = 2.0
_TOO_LARGE = 413

log = structlog.get_logger(__name__)


class Proxy:
    """Serves the paths of the route table.

    Args:
        upstreams: the services, by the names in the table.
        admission: says who may pass.
    """

    def __init__(self, *, upstreams: Mapping[str, Upstream], admission: Admission) -> None:
        self._upstreams = upstreams
        self._admission = admission

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
        check_target(scope["raw_path"], scope["query_string"])
        route: Route | None = scope[ROUTE]
        if route is None:
            raise Refused(404, f"nothing is served at {scope['path']}")
        head = read_head(scope)
        admitted = await self._admission.admit(scope, head, route)
        fields = upstream_fields(
            scope,
            head,
            origin=admitted.origin,
            request_id=request_id_of(scope),
            timeout=route.timeout,
        )
        fields += current_trace_headers().items()
        exchange = _Exchange(
            upstream=self._upstreams[route.service],
            body=RequestBody(head=head, receive=receive),
            receive=receive,
            send=send,
            extra=admitted.fields,
        )
        await exchange.run(scope["method"], target_of(scope), fields, seconds=route.timeout)


def _lingering(receive: Receive, send: Send) -> Send:
    """Read on for a while after an answer, before the connection is closed.

    A client that still sends would get a reset instead of the answer (RFC 9112 §9.6).
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
    """One request to a service and its answer."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        body: RequestBody,
        receive: Receive,
        send: Send,
        extra: list[tuple[bytes, bytes]],
    ) -> None:
        self._upstream = upstream
        self._body = body
        self._receive = receive
        self._send = send
        self._extra = extra
        self._started = False
        self._client_gone = False

    async def run(
        self, method: str, target: str, fields: list[tuple[str, str]], *, seconds: float
    ) -> None:
        """Send the request and pass the answer back, within a deadline."""
        watch = _Watch(self._receive, self._body)
        try:
            async with asyncio.timeout(seconds) as deadline:
                watch.begin(deadline)
                content = await self._body.content()
                response = await self._request(method, target, fields, content)
                try:
                    await self._pass_back(response)
                finally:
                    response.close()  # an answer read to its end has given its connection back
        except TimeoutError as error:
            failure = self._late(seconds, client_gone=watch.client_gone)
            if not self._broke_off(failure):
                raise failure from error
        except (Refused, DomainError) as error:
            if not self._broke_off(error):
                raise
        finally:
            watch.end()

    async def _request(
        self, method: str, target: str, fields: list[tuple[str, str]], content: Body
    ) -> aiohttp.ClientResponse:
        try:
            return await self._upstream.request(method, target, fields=fields, body=content)
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
        return Refused(504, f"the service did not answer within {seconds:g} s")

    def _broke_off(self, failure: Exception) -> bool:
        """Say whether the answer has begun: then all that is left is to close the connection."""
        if self._started and not isinstance(failure, ClientGone):
            log.warning("answer broke off", reason=str(failure))
        return self._started


class _Watch:
    """Ends an exchange whose client has gone, once its request was read."""

    def __init__(self, receive: Receive, body: RequestBody) -> None:
        self.client_gone = False
        self._receive = receive
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, deadline: asyncio.Timeout) -> None:
        """Look later: a task for each of the many requests that are answered at once is dear."""
        self._timer = self._loop.call_later(_WATCH_AFTER_SECONDS, self._start, deadline)

    def _start(self, deadline: asyncio.Timeout) -> None:
        if self._body.complete:
            self._task = self._loop.create_task(self._watch(deadline))
        else:
            self.begin(deadline)  # who reads the body sees the disconnect too

    async def _watch(self, deadline: asyncio.Timeout) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        deadline.reschedule(self._loop.time())

    def end(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
