"""Cancels a request whose caller no longer waits: past the gateway's deadline, or disconnected."""

import asyncio
import re

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.deadline import Deadline
from chassis.http.problems import problem_of
from chassis.wire_names import REQUEST_TIMEOUT, raw_name

HEADER = raw_name(REQUEST_TIMEOUT)
"""Milliseconds that the gateway still waits for the response.

The gateway removes the field from clients' requests."""

_NUMBER = re.compile(rb"[0-9]{1,9}")
_LONGEST_SECONDS = 60.0
# The response must reach the gateway before the gateway times out: the service can say whether
# anything was changed; the gateway's 504 can't.
_MARGIN_SECONDS = 0.25
_MARGIN_SHARE = 0.2
# Most requests are complete by then, and a task for each of them would be expensive.
_WATCH_AFTER_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Deadlines:
    """Cancels a request's work at the gateway's deadline, or when the client disconnects.

    The response is a 503 problem that says whether anything was changed. A COMMIT that was sent is
    not cancelled, and its outcome decides the response. A response that has begun has no deadline,
    because it may be a long stream. WebSockets have no deadline.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = Deadline(seconds=_seconds(scope))
        client = _Client(receive, deadline)
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                deadline.release()
                client.forget()
            await send(message)

        try:
            async with deadline:
                await self._app(scope, client.receive, watched)
        except TimeoutError:
            if answered or not deadline.exceeded:
                raise
            log.warning("deadline exceeded", client_gone=client.gone)
            if not client.gone:
                await problem_of(Request(scope), deadline.error())(scope, receive, send)
        finally:
            client.forget()


class _Client:
    """Detects that a client disconnects after its body was read."""

    def __init__(self, receive: Receive, deadline: Deadline) -> None:
        self.gone = False
        self._receive = receive
        self._deadline = deadline
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """Return the next message, and start to watch after the last part of the body.

        An earlier watch would receive messages of the body that the app needs.
        """
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_WATCH_AFTER_SECONDS, self._begin)
        return message

    def _begin(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._deadline.end_now()

    def forget(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()


def _seconds(scope: Scope) -> float | None:
    """Return how long the work may take, or None if no gateway set a valid deadline."""
    for name, value in scope["headers"]:
        if name == HEADER:
            if not _NUMBER.fullmatch(value):
                log.warning("deadline header ignored", value=value[:32])
                return None
            remaining = min(int(value) / 1000, _LONGEST_SECONDS)
            return remaining - min(_MARGIN_SECONDS, remaining * _MARGIN_SHARE)
    return None
