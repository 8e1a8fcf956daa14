"""Errors as problem documents (RFC 9457), in one form for all."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from chassis import errors
from chassis.http.caching import NO_STORE
from chassis.http.context import path_of, request_id_of
from chassis.product import product
from chassis.wire_names import PROBLEM

TYPE_PREFIX = product().problem_base

# HTTPStatus phrases differ between Python versions. These are part of a problem's type, which must
# not change.
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
    """Return the HTTP status of an error class; 500 if none of its bases has one."""
    for kind in error.__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def problems(*kinds: type[errors.DomainError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for a route's errors: ``responses=problems(OutOfStock)``."""
    by_status: dict[int, list[type[errors.DomainError]]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind), []).append(kind)
    return {
        status: problem_response(" ".join(f"`{kind.name}`: {kind.title}" for kind in group))
        for status, group in by_status.items()
    }


def merged_responses(
    *documented: Mapping[int | str, dict[str, Any]],
) -> dict[int | str, dict[str, Any]]:
    """Return the union of what ``problems`` returned; descriptions of one status are joined."""
    merged: dict[int | str, dict[str, Any]] = {}
    for responses in documented:
        for status, response in responses.items():
            known = merged.get(status)
            merged[status] = (
                response
                if known is None
                else {**known, "description": f"{known['description']} {response['description']}"}
            )
    return merged


def problem_response(description: str) -> dict[str, Any]:
    """Return the OpenAPI response object of a problem document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {PROBLEM: {"schema": schema}}}


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
    """Return the response with a problem document."""
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
        headers={"Cache-Control": NO_STORE, **(headers or {})},
        media_type=PROBLEM,
    )


def problem_of(request: Request, error: errors.DomainError) -> Response:
    """Return the response with the problem document of a domain error."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.ReauthenticationNeeded):
        headers["WWW-Authenticate"] = (
            f'Bearer error="insufficient_user_authentication", max_age="{error.extra["max_age"]}"'
        )
    elif isinstance(error, errors.Unauthenticated):
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
    """Return the response with the problem document of an HTTP status.

    The type is named after the status: ``405`` is ``method-not-allowed``.
    """
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
    """Return `text` with lone surrogates escaped: one in a field's name can't be sent as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
