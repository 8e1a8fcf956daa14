"""Turns every error into a problem document; the innermost middleware and the handlers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException  # noqa: TID251 - what the framework itself raises
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database.errors import is_infrastructure_error
from chassis.errors import DomainError, FieldError, Invalid, Malformed, Unavailable
from chassis.http.context import path_of
from chassis.http.problems import problem_of, problem_of_status

log = structlog.get_logger(__name__)


class Failures:
    """Catches what no handler did: 503 where the infrastructure is away, else 500, logged."""

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
            return  # in the middle of its body: nobody is there to be answered
        except Exception as error:
            if answered:
                raise
            await _failure(Request(scope), error)(scope, receive, send)


def _failure(request: Request, error: Exception) -> Response:
    if is_infrastructure_error(error):
        log.warning("infrastructure is away", error=f"{type(error).__name__}: {error}")
        detail = "a system that this needs does not answer: try again in a moment"
        return problem_of(request, Unavailable(detail))
    log.error("request failed", exc_info=error)
    return problem_of_status(
        request, 500, "the error has been logged under the request id; nothing was changed"
    )


def add_handlers(app: FastAPI) -> None:
    """Answer domain errors, validation errors and the framework's own with problem documents."""
    app.add_exception_handler(DomainError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _framework)


async def _domain(request: Request, error: Exception) -> Response:
    return problem_of(request, cast("DomainError", error))


async def _framework(request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    if known.status_code == HTTPStatus.BAD_REQUEST:
        return problem_of(request, Malformed("the body can't be read: send valid JSON in UTF-8"))
    path = path_of(request.scope)
    detail = {
        404: f"nothing is served at {path}",
        405: f"{request.method} is not offered at {path}",
    }.get(known.status_code, str(known.detail))
    return problem_of_status(request, known.status_code, detail, known.headers)


async def _validation(request: Request, error: Exception) -> Response:
    details = cast("RequestValidationError", error).errors()
    for item in details:
        if item["type"] == "json_invalid":
            reason = item.get("ctx", {}).get("error", item["msg"])
            place = item["loc"][-1] if item["loc"] else 0
            message = f"the body is not valid JSON: {reason} at character {place}"
            return problem_of(request, Malformed(message))
    fields = [_field(item) for item in details]
    places = ", ".join(
        str(field.pointer or field.parameter or field.header) for field in fields[:5]
    )
    return problem_of(request, Invalid(f"not valid: {places}", errors=fields))


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
    """Escape a name for a JSON pointer (RFC 6901 §3)."""
    return part.replace("~", "~0").replace("/", "~1")
