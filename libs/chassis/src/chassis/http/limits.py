"""Bounds on a request's body: its size, and no Content-Encoding."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.problems import problem_of_status

MAX_BODY_BYTES = 1024 * 1024


class _TooLarge(Exception):
    """More bytes came than are allowed."""


class BodyLimits:
    """Answers 413 to a body over the limit, declared or counted, and 415 to an encoded one."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            detail = f"send the body without Content-Encoding ({encoding} is not taken)"
            await problem_of_status(request, 415, detail)(scope, receive, send)
            return
        try:
            await self._limited(request, receive, send)
        except _TooLarge:
            detail = f"the body may have {self._max_bytes} bytes at most"
            answer = problem_of_status(request, 413, detail, {"Connection": "close"})
            await answer(scope, receive, send)

    async def _limited(self, request: Request, receive: Receive, send: Send) -> None:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise _TooLarge
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _TooLarge
            return message

        await self._app(request.scope, counted, send)
