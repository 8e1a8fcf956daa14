"""Errors as problem documents (RFC 9457), one form for all."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from chassis import errors
from chassis.http.context import path_of, request_id_of

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://slipway.dev/problems/"

# Phrases that changed from one Python to the next: a type's name must not.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

_STATUS: Mapping[type[errors.DomainError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.Invalid: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}


class ProblemField(BaseModel):
    """One thing wrong with one part of the request."""

    detail: str = Field(description="What is wrong, for a person.")
    pointer: str | None = Field(
        default=None, description="A JSON pointer into the body, as a URI fragment: `#/items/0`."
    )
    parameter: str | None = Field(default=None, description="The name of the parameter.")
    header: str | None = Field(default=None, description="The name of the header.")


class Problem(BaseModel):
    """A problem document (RFC 9457); further members depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Names the kind of problem; its last part never changes.")
    title: str = Field(description="The same sentence for every occurrence of the type.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong this time, and what to do.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="The id of the request, to quote to support.")
    errors: list[ProblemField] | None = Field(
        default=None, description="The parts of the request that were wrong."
    )


def status_of(error: type[errors.DomainError]) -> int:
    """Find the HTTP status of an error's kind."""
    for kind in error.__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def problems(*kinds: type[errors.DomainError]) -> dict[int | str, dict[str, Any]]:
    """Document what a route may answer beside success: ``responses=problems(OutOfStock)``."""
    by_status: dict[int, list[type[errors.DomainError]]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind), []).append(kind)
    return {
        status: problem_response(" ".join(f"`{kind.name}`: {kind.title}" for kind in group))
        for status, group in by_status.items()
    }


def problem_response(description: str) -> dict[str, Any]:
    """Describe one problem answer in OpenAPI's terms."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def problem(
    request: Request,
    *,
    status: int,
    name: str,
    title: str,
    detail: str,
    fields: Sequence[errors.FieldError] = (),
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with a problem document."""
    document = Problem(
        type=TYPE_PREFIX + name,
        title=title,
        status=status,
        detail=_printable(detail),
        instance=path_of(request.scope),
        request_id=request_id_of(request.scope),
        errors=[
            ProblemField(
                detail=_printable(field.detail),
                pointer=None if field.pointer is None else _printable(field.pointer),
                parameter=None if field.parameter is None else _printable(field.parameter),
                header=field.header,
            )
            for field in fields
        ]
        or None,
        **(extra or {}),
    )
    return Response(
        document.model_dump_json(exclude_none=True),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def problem_of(request: Request, error: errors.DomainError) -> Response:
    """Answer with the problem document of a domain error."""
    headers: dict[str, str] = {}
    if isinstance(error, (errors.Unavailable, errors.TooManyRequests)):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthenticated):
        sent = "authorization" in request.headers
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if sent else "Bearer"
    if isinstance(error, errors.Forbidden) and "scope" in error.extra:
        headers["WWW-Authenticate"] = (
            f'Bearer error="insufficient_scope", scope="{error.extra["scope"]}"'
        )
    return problem(
        request,
        status=status_of(type(error)),
        name=error.name,
        title=error.title,
        detail=error.detail,
        fields=error.errors,
        extra=error.extra,
        headers=headers,
    )


def problem_of_status(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with the problem document of a bare HTTP status: ``405`` is ``method-not-allowed``."""
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    name = phrase.lower().replace(" ", "-").replace("'", "")
    return problem(
        request,
        status=status,
        name=name,
        title=f"{phrase}.",
        detail=detail,
        headers=headers,
    )


def _printable(text: str) -> str:
    """Make any text fit for UTF-8: a lone surrogate in a field's name must not break the answer."""
    return text.encode("utf-8", "backslashreplace").decode()
