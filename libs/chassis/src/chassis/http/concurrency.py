"""Conditional requests (RFC 9110 §13): ETag, If-Match, If-None-Match, 304 and 412.

A route declares ``versioned=True`` or ``public_for``; see ``chassis.http.routing``. A use case that
changes a resource takes the route's ``ExpectedVersion``.
"""

import hashlib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Request, Response
from pydantic import TypeAdapter
from starlette.datastructures import Headers

from chassis.errors import PreconditionFailed
from chassis.http.caching import NO_CACHE
from chassis.http.endpoints import ResponseDep, with_parameters
from chassis.versions import Expected
from chassis.wire_names import JSON

NOT_MODIFIED: Mapping[int | str, dict[str, Any]] = {
    304: {"description": "The caller already has the current version: see `If-None-Match`."}
}
"""The OpenAPI response of a route that accepts ``If-None-Match``."""

ETAG = {
    "description": "The tag of what is returned, for `If-None-Match`, and for the `If-Match` of "
    "the operations that change it.",
    "schema": {"type": "string"},
}
"""The OpenAPI header of a response with an ETag."""

_IF_MATCH = "If-Match"
_IF_NONE_MATCH = "If-None-Match"
# One element of a list, which may be empty (RFC 9110 §5.6.1.2). A tag may contain commas (§8.8.3).
_ELEMENT = re.compile(
    r'[ \t]*(?:(?P<weak>W/)?(?P<opaque>"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|\Z)'
)
_CONFIRMED = {"Cache-Control": NO_CACHE}
# Two people may read different resources of the same version at one URL, such as `/me`. Without the
# field, a browser's cache would confirm the copy of the one for the other.
_OF_CALLER = {"Cache-Control": NO_CACHE, "Vary": "Authorization"}
_VERSION = re.compile(r'"(0|[1-9]\d{0,17})"', re.ASCII)


class HasVersion(Protocol):
    """The body of a versioned response."""

    @property
    def version(self) -> int:
        """The version of the resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The entity tags of an If-Match or If-None-Match.

    Attributes:
        any: whether the field is ``*``, which matches every resource that exists.
        strong: the strong tags, with their quotes.
        weak: the weak tags, without ``W/``.
    """

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def match_strongly(self, etag: str) -> bool:
        """Return whether If-Match names `etag`: neither tag may be weak (RFC 9110 §8.8.3.2)."""
        return self.any or etag in self.strong

    def match_weakly(self, etag: str) -> bool:
        """Return whether If-None-Match names `etag`, in which a weak tag counts as a strong one."""
        return self.any or etag.removeprefix("W/") in self.strong | self.weak


def tags_in(lines: Sequence[str]) -> Tags | None:
    """Return the tags in the lines of one field; None if there is no line.

    Several lines are one list (RFC 9110 §5.3). A field with a syntax error matches nothing: an
    If-Match then stops the change, and an If-None-Match does not suppress the body.
    """
    if not lines:
        return None
    text = ",".join(lines)
    if text.strip(" \t") == "*":
        return Tags(any=True)
    found: dict[str, set[str]] = {"strong": set(), "weak": set()}
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            return Tags()
        if element["opaque"] is not None:
            found["strong" if element["weak"] is None else "weak"].add(element["opaque"])
        position = element.end()
    return Tags(strong=frozenset(found["strong"]), weak=frozenset(found["weak"]))


def etag_of(version: int) -> str:
    """Return the strong validator of an aggregate's version."""
    return f'"{version}"'


def not_modified(
    headers: Headers, etag: str, fields: Mapping[str, str] = _CONFIRMED
) -> Response | None:
    """Evaluate the preconditions of a GET or HEAD for the resource with `etag`.

    Args:
        headers: the request's.
        etag: the present entity tag.
        fields: what a 200 and its 304 have in common beside the tag (RFC 9110 §15.4.5).

    Returns:
        The response 304 if the caller already has the resource; None if it must be sent.

    Raises:
        PreconditionFailed: the If-Match does not name `etag`. It is evaluated first (RFC 9110
            §13.2.2).
    """
    wanted = tags_in(headers.getlist(_IF_MATCH))
    if wanted is not None and not wanted.match_strongly(etag):
        message = (
            f"The resource has the ETag {etag}, which the If-Match does not name. Read it without "
            "one."
        )
        raise PreconditionFailed(message)
    known = tags_in(headers.getlist(_IF_NONE_MATCH))
    if known is None or not known.match_weakly(etag):
        return None
    return Response(status_code=304, headers={"ETag": etag, **fields})


def content_response(request: Request, content: bytes, *, media_type: str) -> Response:
    """Return `content` with an ETag made of it, or 304 if the caller already has it.

    Raises:
        PreconditionFailed: see ``not_modified``.
    """
    etag = _etag_of_content(content)
    headers = {"ETag": etag, **_CONFIRMED}
    return not_modified(request.headers, etag) or Response(
        content, media_type=media_type, headers=headers
    )


def expected_of(if_match: Sequence[str], if_none_match: Sequence[str]) -> Expected:
    """Return what the lines of the two fields demand of the version that is to be changed."""
    wanted, unwanted = tags_in(if_match), tags_in(if_none_match)
    return Expected(
        among=None if wanted is None or wanted.any else _versions(wanted.strong),
        none=unwanted is not None and unwanted.any,
        but=frozenset() if unwanted is None else _versions(unwanted.strong | unwanted.weak),
    )


def _versions(tags: Iterable[str]) -> frozenset[int]:
    """Return the versions that tags stand for, without tags that no resource of ours can have."""
    found = map(_VERSION.fullmatch, tags)
    return frozenset(int(tag[1]) for tag in found if tag)


async def _expected(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(max_length=200, description="Change only if the resource still has this ETag."),
    ] = None,
) -> Expected:
    del if_match  # declared for the documentation and the bound; FastAPI reads one line only
    headers = request.headers
    return expected_of(headers.getlist(_IF_MATCH), headers.getlist(_IF_NONE_MATCH))


ExpectedVersion = Annotated[Expected, Depends(_expected)]
"""What a route's If-Match and If-None-Match demand of the version, for a use case."""


async def _read_headers(
    request: Request,
    if_none_match: Annotated[
        str | None,
        Header(
            max_length=1000, description="Return 304 if the resource still has one of these ETags."
        ),
    ] = None,
) -> Headers:
    del if_none_match  # see `_expected`
    return request.headers


_ReadHeaders = Annotated[Headers, Depends(_read_headers)]


def made_versioned(
    endpoint: Callable[..., Awaitable[HasVersion]], *, fields: Mapping[str, str] = _OF_CALLER
) -> Callable[..., Awaitable[Any]]:
    """Return a GET route's endpoint, wrapped so that its responses have the version as ETag.

    Args:
        endpoint: the route's function.
        fields: further fields of a 200 and its 304.
    """

    @wraps(endpoint)
    async def read(
        *, headers_: Headers, tagged_: Response, **arguments: object
    ) -> HasVersion | Response:
        result = await endpoint(**arguments)
        etag = etag_of(result.version)
        known = not_modified(headers_, etag, fields)
        if known is None:
            tagged_.headers.update({"ETag": etag, **fields})
            return result
        return known

    return with_parameters(read, endpoint, headers_=_ReadHeaders, tagged_=ResponseDep)


def made_versioned_change(
    endpoint: Callable[..., Awaitable[HasVersion]],
) -> Callable[..., Awaitable[Any]]:
    """Return the endpoint of a route that changes, wrapped so that the version is the ETag.

    The preconditions are evaluated by its use case, under the lock of the resource.
    """

    @wraps(endpoint)
    async def change(*, tagged_: Response, **arguments: object) -> HasVersion:
        result = await endpoint(**arguments)
        tagged_.headers["ETag"] = etag_of(result.version)
        return result

    return with_parameters(change, endpoint, tagged_=ResponseDep)


def made_tagged(
    endpoint: Callable[..., Awaitable[Any]], *, fields: Mapping[str, str]
) -> Callable[..., Awaitable[Response]]:
    """Return a GET route's endpoint, wrapped so that its responses have an ETag of their content.

    It is for results without a version, such as lists. The wrapper renders the response itself,
    because the tag is made of the bytes.

    Args:
        endpoint: the route's function; its return annotation determines how the result is rendered.
        fields: further fields of a 200 and its 304.
    """
    rendered = TypeAdapter(inspect.signature(endpoint).return_annotation)

    @wraps(endpoint)
    async def read(*, headers_: Headers, tagged_: Response, **arguments: object) -> Response:
        result = rendered.validate_python(await endpoint(**arguments))
        content = rendered.dump_json(result, by_alias=True)
        etag = _etag_of_content(content)
        headers = {**tagged_.headers, "ETag": etag, **fields}
        return not_modified(headers_, etag, fields) or Response(
            content, media_type=JSON, headers=headers
        )

    return with_parameters(read, endpoint, headers_=_ReadHeaders, tagged_=ResponseDep)


def _etag_of_content(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
