"""Bounds on a request's body: its size, and no Content-Encoding."""

from starlette.exceptions import HTTPException  # noqa: TID251 - FastAPI lets nothing else through
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.problems import problem_of_status

MAX_BODY_BYTES = 1024 * 1024
_TOO_LARGE = 413
_CLOSE = {"Connection": "close"}  # the rest of the body is not read


class BodyLimits:
    """Answers 413 to a body over the limit, declared or counted, and 415 to an encoded one."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._detail = f"the body may have {max_bytes} bytes at most"

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
        if self._declares_too_much(request):
            answer = problem_of_status(request, _TOO_LARGE, self._detail, _CLOSE)
            await answer(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _declares_too_much(self, request: Request) -> bool:
        try:
            return int(request.headers.get("content-length", "0")) > self._max_bytes
        except ValueError:
            return False  # no number: what comes is counted

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(_TOO_LARGE, self._detail, _CLOSE)
            return message

        return counted
