"""A compiled route: an ASGI app that serves the requests of one route."""

import json
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import FastAPIError, RequestValidationError, ResponseValidationError
from fastapi.utils import is_body_allowed_for_status_code
from pydantic_core import PydanticUndefined
from starlette.exceptions import HTTPException  # noqa: TID251 - what FastAPI raises here
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from chassis.database.reading_ahead import READS_AHEAD, OutdatedReadError
from chassis.http.content import JSON_TYPES, JsonRequest, refused_content_type
from chassis.http.lean.steps import Exchange, Step, run
from chassis.library_internals.fastapi import Errors, ModelField
from chassis.wire_names import JSON


class LeanRoute:
    """Serves the requests of one route, as FastAPI would.

    Args:
        steps: the functions of the route.
        reads_body: whether the route has a body, which is JSON.
        body_is_optional: whether a request may have no body.
        status: the status of a response if no function of the route sets one.
        shape: validates and renders the endpoint's result; None renders it without a shape.
        name: the route's methods and path, for errors.
    """

    def __init__(
        self,
        *,
        steps: tuple[Step, ...],
        reads_body: bool,
        body_is_optional: bool,
        status: int,
        shape: ModelField | None,
        name: str,
    ) -> None:
        self._steps = steps
        self._opens = any(step.opens for step in steps)
        self._reads_body = reads_body
        self._body_is_optional = body_is_optional
        self._status = status
        self._shape = shape
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        response = await self.respond(JsonRequest(scope, receive, send))
        await response(scope, receive, send)

    async def respond(self, request: JsonRequest) -> Response:
        """Return the response to one request, or raise the error of a function of the route.

        A request whose unit of work read what another one changed runs once more, with locks.
        """
        request.scope[READS_AHEAD] = self._opens
        try:
            return await self._respond(request)
        except OutdatedReadError:
            request.scope[READS_AHEAD] = False
            return await self._respond(request)

    async def _respond(self, request: JsonRequest) -> Response:
        if self._reads_body:
            refused = await refused_content_type(
                request, JSON_TYPES, optional=self._body_is_optional
            )
            if refused is not None:
                return refused
        body = await _body_of(request) if self._reads_body else PydanticUndefined
        exchange = Exchange(request=request, body=body, response=_to_set())
        if not self._opens:
            return self._responded(await run(self._steps, exchange, None), exchange)
        async with AsyncExitStack() as opened:
            # Rendered before what was opened is closed: a commit must not precede an error.
            return self._responded(await run(self._steps, exchange, opened), exchange)
        message = (
            f"A dependency of {self._name} swallowed an error after its `yield`, so there is no "
            "response. Raise the error again."
        )
        raise FastAPIError(message)

    def _responded(self, outcome: tuple[Any, Errors], exchange: Exchange) -> Response:
        result, errors = outcome
        if errors:
            given = None if exchange.body is PydanticUndefined else exchange.body
            raise RequestValidationError(errors, body=given)
        return self._rendered(result, exchange.response)

    def _rendered(self, result: object, given: Response) -> Response:
        if isinstance(result, Response):
            return result
        status = given.status_code or self._status
        response = self._with_content(result, status)
        if not is_body_allowed_for_status_code(status):
            response.body = b""
        response.raw_headers += given.raw_headers
        return response

    def _with_content(self, result: object, status: int) -> Response:
        shape = self._shape
        if shape is None:
            return JSONResponse(jsonable_encoder(result), status_code=status)
        value, errors = shape.validate(result, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(
                errors=errors, body=result, endpoint_ctx={"path": self._name}
            )
        return Response(shape.serialize_json(value), status_code=status, media_type=JSON)


def _to_set() -> Response:
    """Return the response object for headers and status: it has none yet."""
    response = Response(status_code=HTTPStatus.NO_CONTENT)  # no Content-Length
    response.status_code = None  # type: ignore[assignment]  # FastAPI's sign of a status not set
    return response


async def _body_of(request: Request) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return await request.json() if await request.body() else PydanticUndefined
    except json.JSONDecodeError as error:
        found = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError([found], body=error.doc) from error
    except HTTPException:
        raise
    except Exception as error:
        message = "There was an error parsing the body"
        raise HTTPException(HTTPStatus.BAD_REQUEST, message) from error
