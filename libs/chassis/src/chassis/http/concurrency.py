"""Optimistic concurrency: ETag, If-Match and If-None-Match (RFC 9110 §13)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header

from chassis.errors import PreconditionFailed

IfMatch = Annotated[
    str | None,
    Header(max_length=200, description="Change only if the resource still has this ETag."),
]
IfNoneMatch = Annotated[
    str | None,
    Header(max_length=1000, description="Answer 304 if the resource still has one of these ETags."),
]

NOT_MODIFIED: Mapping[int | str, dict[str, Any]] = {
    304: {"description": "The caller holds the present version already: see `If-None-Match`."}
}
"""Documents the answer of a route that takes ``If-None-Match``."""


def etag_of(version: int) -> str:
    """Make the strong validator of an aggregate's version."""
    return f'"{version}"'


def check_if_match(if_match: str | None, version: int) -> None:
    """Raise PreconditionFailed where the caller names another version than the present one."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag_of(version) not in _tags(if_match):
        message = f"If-Match names {if_match}, and the resource is at {etag_of(version)}: read it"
        raise PreconditionFailed(message)


def matches(if_none_match: str | None, version: int) -> bool:
    """Say whether the caller holds the present version already."""
    if if_none_match is None:
        return False
    tags = {tag.removeprefix("W/") for tag in _tags(if_none_match)}
    return "*" in tags or etag_of(version) in tags


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}
