"""The router of all services: JSON bodies by content type, idempotent and versioned routes."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import PreconditionFailed
from chassis.http.caching import public_for as public
from chassis.http.concurrency import (
    ETAG,
    NOT_MODIFIED,
    made_tagged,
    made_versioned,
    made_versioned_change,
)
from chassis.http.content import FORM_TYPES, JSON_TYPES, JsonRequest, refused_content_type
from chassis.http.idempotent import ERRORS, Idempotent
from chassis.http.problems import merged_responses, problems
from chassis.library_internals.fastapi import body_is_optional, takes_body, takes_form


class ChassisRoute(APIRoute):
    """Rejects a body with another content type before reading it.

    FastAPI serves it only if it is not lean; see ``chassis.http.lean``.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that serves a request (FastAPI's hook)."""
        handle = super().get_route_handler()
        if not takes_body(self):
            return handle
        accepted = FORM_TYPES if takes_form(self) else JSON_TYPES
        optional = body_is_optional(self)

        async def checked(request: Request) -> Response:
            given = JsonRequest(request.scope, request.receive)
            refused = await refused_content_type(given, accepted, optional=optional)
            return refused or await handle(given)

        return checked


class Router(APIRouter):
    """An APIRouter whose routes check the content type, and can be idempotent and versioned.

    The body of a versioned route has a ``version``, which its responses carry as ETag. A versioned
    GET returns 304 if the caller already has that version, and 412 if it wants another. So does a
    GET that is public for a time; if it is not versioned, its ETag is made of the content.
    """

    def __init__(self, *, prefix: str = "", tags: list[str] | None = None) -> None:
        super().__init__(prefix=prefix, tags=list(tags or []), route_class=ChassisRoute)

    def get[E: Callable[..., Any]](
        self,
        path: str,
        *,
        versioned: bool = False,
        public_for: int | None = None,
        **options: Any,  # noqa: ANN401 - FastAPI's own
    ) -> Callable[[E], E]:
        """Declare a GET route.

        Args:
            path: relative to the router's prefix.
            versioned: see the class.
            public_for: the seconds for which anybody may keep a response without asking again, also
                shared caches. Declare it only if the response is the same for all callers. None:
                what has a validator is confirmed at each use.
            options: passed to FastAPI.
        """
        if not versioned and public_for is None:
            return super().get(path, **options)
        added = {**NOT_MODIFIED, **problems(PreconditionFailed)}
        options = _tagged(options)
        responses = merged_responses(options.pop("responses"), added)
        declare = super().get(path, responses=responses, **options)
        if public_for is None:
            return _declaring(declare, made_versioned)
        wrap = made_versioned if versioned else made_tagged
        fields = {"Cache-Control": public(public_for)}
        return _declaring(declare, lambda endpoint: wrap(endpoint, fields=fields))

    def put[E: Callable[..., Any]](
        self,
        path: str,
        *,
        versioned: bool = False,
        **options: Any,  # noqa: ANN401 - FastAPI's own
    ) -> Callable[[E], E]:
        """Declare a PUT route; see ``get``."""
        if not versioned:
            return super().put(path, **options)
        return _declaring(super().put(path, **_tagged(options)), made_versioned_change)

    def patch[E: Callable[..., Any]](
        self,
        path: str,
        *,
        versioned: bool = False,
        **options: Any,  # noqa: ANN401 - FastAPI's own
    ) -> Callable[[E], E]:
        """Declare a PATCH route; see ``get``."""
        if not versioned:
            return super().patch(path, **options)
        return _declaring(super().patch(path, **_tagged(options)), made_versioned_change)

    def post[E: Callable[..., Any]](
        self,
        path: str,
        *,
        idempotent: Idempotent | None = None,
        versioned: bool = False,
        **options: Any,  # noqa: ANN401 - FastAPI's own
    ) -> Callable[[E], E]:
        """Declare a POST route.

        Args:
            path: relative to the router's prefix.
            idempotent: whether an Idempotency-Key is optional or required; None ignores the header.
            versioned: see the class.
            options: passed to FastAPI.
        """
        if versioned:
            options = _tagged(options)
        responses = options.pop("responses", {})
        if idempotent is not None:
            responses = merged_responses(responses, problems(*ERRORS[idempotent]))
        status = options.get("status_code", 200)

        def wrapped(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            inner = made_versioned_change(endpoint) if versioned else endpoint
            if idempotent is None:
                return inner
            from chassis.http.idempotency import (  # noqa: PLC0415 - it imports SQLAlchemy
                made_idempotent,
            )

            return made_idempotent(inner, idempotent, status=status)

        return _declaring(super().post(path, responses=responses, **options), wrapped)


def _tagged(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route's options with the ETag of its response documented."""
    status = options.get("status_code", 200)
    responses = options.get("responses", {})
    response = responses.get(status, {})
    response = {**response, "headers": {**response.get("headers", {}), "ETag": ETAG}}
    return {**options, "responses": {**responses, status: response}}


def _declaring[E: Callable[..., Any]](
    declare: Callable[[Callable[..., Any]], object], wrap: Callable[[Callable[..., Any]], Any]
) -> Callable[[E], E]:
    """Return a decorator that declares the wrapped endpoint, and leaves the endpoint as it is."""

    def declared(endpoint: E) -> E:
        declare(wrap(endpoint))
        return endpoint

    return declared
