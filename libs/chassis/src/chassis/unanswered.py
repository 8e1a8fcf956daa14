"""Sends a problem document for a request whose application ends before it responds."""

import asyncio
import sys

import structlog

from chassis.library_internals.uvicorn import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    RequestResponseCycle,
    Scope,
)
from chassis.raw_problems import raw_problem

_STOPPING = (
    "The server stopped before it could respond. The request may have taken effect. Check that "
    "before you send it again."
)
_FAILED = (
    "The server failed, and logged the error. The request may have taken effect. Check that before "
    "you send it again."
)

log = structlog.get_logger(__name__)


def failure_status(*, stopping: bool = False) -> tuple[int, str]:
    """Return status and detail for a request whose application did not respond.

    Args:
        stopping: whether the process is stopping. A cancellation as the exception that is being
            handled means the same: nothing else cancels a request.
    """
    if stopping or isinstance(sys.exception(), asyncio.CancelledError):
        return 503, _STOPPING
    return 500, _FAILED


def answering(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return `app`, wrapped to send a problem document if it fails before it responds."""

    async def answering(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if cycle.waiting_for_100_continue:
            send = _closing_unless_continued(send, cycle)
        try:
            await app(scope, receive, send)
        finally:
            if not cycle.response_started and not cycle.disconnected:
                await _send_failure(cycle)

    return answering


def _closing_unless_continued(
    send: ASGISendCallable, cycle: RequestResponseCycle
) -> ASGISendCallable:
    """Return `send`, which closes the connection after a response that precedes `100 Continue`.

    The client may then send the body or not (RFC 9110 §10.1.1). If it does not, its next request
    would be read as the body.
    """

    async def sending(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start" and cycle.waiting_for_100_continue:
            cycle.keep_alive = False
        await send(message)

    return sending


async def _send_failure(cycle: RequestResponseCycle) -> None:
    problem = raw_problem(*failure_status())
    log.error("request failed", status=problem.status, request_id=problem.request_id)
    await cycle.send(
        {"type": "http.response.start", "status": problem.status, "headers": problem.fields}
    )
    await cycle.send({"type": "http.response.body", "body": problem.body, "more_body": False})
