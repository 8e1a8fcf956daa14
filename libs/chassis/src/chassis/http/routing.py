"""The router of all services: JSON bodies by content type, and a 415 for any other."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from chassis.http.problems import problem_of_status

_JSON = ("application/json", "application/merge-patch+json")
_FORM = ("application/x-www-form-urlencoded",)


class _Request(Request):
    """Reads JSON without what Python adds to it: ``NaN`` and ``Infinity`` (RFC 8259 §6)."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        return json.loads(await self.body(), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)


class _Route(APIRoute):
    """Refuses a body of another content type before it is read (RFC 9110 §15.5.16)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        accepted = _FORM if isinstance(self.body_field.field_info, params.Form) else _JSON

        async def checked(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            if content_type.split(";")[0].strip().lower() not in accepted:
                given = content_type or "none"
                detail = f"send the body as {accepted[0]} (Content-Type was {given})"
                headers = {"Accept": accepted[0]}
                return problem_of_status(request, 415, detail, headers)
            return await handle(_Request(request.scope, request.receive))

        return checked


class Router(APIRouter):
    """An APIRouter whose routes check the content type."""

    def __init__(self, *, prefix: str = "", tags: list[str] | None = None) -> None:
        super().__init__(prefix=prefix, tags=list(tags or []), route_class=_Route)
