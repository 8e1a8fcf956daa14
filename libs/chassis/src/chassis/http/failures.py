"""Turns every error into a problem document; the innermost middleware and the handlers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException  # noqa: TID251 - what the framework itself raises
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database.infrastructure import is_infrastructure_error
from chassis.errors import DomainError, FieldError, Invalid, Malformed, Unavailable
from chassis.http.context import path_of
from chassis.http.idempotent import IdempotencyKeyMissing, key_stored_meanwhile
from chassis.http.methods import allow_fields, allowed_methods, method_of
from chassis.http.problems import problem_of, problem_of_status
from chassis.wire_names import IDEMPOTENCY_KEY

log = structlog.get_logger(__name__)

_IN_FRAGMENTS = "!$&'()*+,;=:@?"  # RFC 3986 §3.5; the others are safe for `quote` anyway
# A body of 1 MB can be wrong in 100,000 places. To describe each of them would hold the process up
# for seconds, and the response would be ten times as long as the request.
_MOST_ERRORS = 100
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1


class Failures:
    """Responds to unhandled errors: 503 if the infrastructure is unavailable, else a logged 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return  # the client left while it sent the body: nobody receives a response
        except Exception as error:
            if answered:
                raise
            await failure_response(Request(scope), error)(scope, receive, send)


def failure_response(request: Request, error: Exception) -> Response:
    """Return the response to a request that failed unexpectedly, and log the cause."""
    if in_flight := key_stored_meanwhile(error):
        return problem_of(request, in_flight)
    if is_infrastructure_error(error):
        log.warning("infrastructure unavailable", error=f"{type(error).__name__}: {error}")
        detail = (
            f"A system that this service needs is unavailable.{_doubt(request)} Retry in a moment."
        )
        return problem_of(request, Unavailable(detail))
    log.error("request failed", exc_info=error)
    detail = f"The service failed. The error was logged with the request id.{_doubt(request)}"
    return problem_of_status(request, 500, detail)


def _doubt(request: Request) -> str:
    """Return the warning that a failed change may have been made.

    The error may come after a commit: of a use case with transactions of its own, or of a COMMIT
    whose response was lost.
    """
    if request.method in _SAFE:
        return ""
    return " The request may have taken effect. Check that before you send it again."


def add_handlers(app: FastAPI) -> None:
    """Turn domain errors, validation errors and the framework's errors into problem documents."""
    app.add_exception_handler(DomainError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _framework)


async def _domain(request: Request, error: Exception) -> Response:
    return problem_of(request, cast("DomainError", error))


async def _framework(request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    if known.status_code == HTTPStatus.BAD_REQUEST:
        return problem_of(request, Malformed("The body can't be read. Send valid JSON in UTF-8."))
    path = path_of(request.scope)
    if known.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = allowed_methods(request.app.routes, request.scope)
        fields = allow_fields(allowed)
        method = method_of(request.scope)
        detail = f"{path} does not accept {method}. Use one of: {fields['Allow']}."
        return problem_of_status(request, known.status_code, detail, fields)
    detail = str(known.detail)
    if known.status_code == HTTPStatus.NOT_FOUND:
        detail = f"No route has the path {path}. See the OpenAPI document for the paths."
    return problem_of_status(request, known.status_code, detail, known.headers)


async def _validation(request: Request, error: Exception) -> Response:
    details = cast("RequestValidationError", error).errors()
    for item in details:
        if item["type"] == "missing" and item["loc"] == ("header", IDEMPOTENCY_KEY.lower()):
            message = (
                "The header `Idempotency-Key` is missing, and this operation needs it. Send one "
                "with a unique text of your own."
            )
            field = FieldError(detail="is missing", header=IDEMPOTENCY_KEY)
            return problem_of(request, IdempotencyKeyMissing(message, errors=[field]))
        if item["type"] == "json_invalid":
            reason = item.get("ctx", {}).get("error", item["msg"])
            place = item["loc"][-1] if item["loc"] else 0
            message = f"The body is not valid JSON: {reason} at character {place}. Correct it."
            return problem_of(request, Malformed(message))
    fields = [_field(item) for item in details[:_MOST_ERRORS]]
    places = ", ".join(
        str(field.pointer or field.parameter or field.header) for field in fields[:5]
    )
    listed = "each of them"
    if len(details) > len(fields):
        listed = f"the first {len(fields)} of {len(details)}"
    message = f"The request is not valid: {places}. See `errors` for {listed}."
    return problem_of(request, Invalid(message, errors=fields))


def _field(item: Mapping[str, Any]) -> FieldError:
    place, *path = item["loc"] or ("body",)
    detail = str(item["msg"]).removeprefix("Value error, ")
    if place == "body":
        pointer = "#" + "".join(f"/{_escaped(str(part))}" for part in path)
        return FieldError(detail=detail, pointer=pointer)
    name = str(path[0]) if path else place
    if place == "header":
        return FieldError(detail=detail, header=name)
    return FieldError(detail=detail, parameter=name)


def _escaped(part: str) -> str:
    """Escape a name for a JSON pointer that is a URI fragment (RFC 6901 §3 and §6)."""
    return quote(part.replace("~", "~0").replace("/", "~1"), safe=_IN_FRAGMENTS, errors="replace")
