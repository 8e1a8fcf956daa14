"""The errors that use cases raise; the HTTP layer turns each into a problem document (RFC 9457).

A service subclasses the kind that fits and gives it a name: ``class OutOfStock(Conflict)``. The
kinds say nothing of HTTP, so that a consumer or a job can raise and catch them as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing wrong with one part of the input.

    Args:
        detail: what is wrong, for a person.
        pointer: a JSON pointer (RFC 6901, as a URI fragment: ``#/items/0``) into the body.
        parameter: the name of the query, path or form parameter, where it is not the body.
        header: the name of the header, where it is neither.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class DomainError(Exception):
    """Something that a caller asked for and can't have; subclasses name it.

    Args:
        detail: what was wrong, where, and what to do about it.
        errors: the fields concerned, where there are any.
        extra: further members of the problem document (RFC 9457 §3.2).

    Attributes:
        name: kebab-case, the last part of the problem's ``type``; never changed once published.
        title: the same sentence for every occurrence.
    """

    name: ClassVar[str] = "error"
    title: ClassVar[str] = "The request can't be fulfilled."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.extra = dict(extra or {})


class Malformed(DomainError):
    """The request can't be read at all."""

    name = "malformed-request"
    title = "The request can't be read."


class Invalid(DomainError):
    """The request was read, and breaks a rule; ``errors`` point to the fields."""

    name = "validation-failed"
    title = "The request is not valid."


class Unauthenticated(DomainError):
    """Nobody is logged in, or the token is not good."""

    name = "unauthenticated"
    title = "A valid access token is needed."


class Forbidden(DomainError):
    """The caller is known, and may not do this."""

    name = "forbidden"
    title = "This is not allowed."


class NotFound(DomainError):
    """The thing does not exist, or not for this caller."""

    name = "not-found"
    title = "There is no such thing."


class Conflict(DomainError):
    """The state of the thing forbids the change."""

    name = "conflict"
    title = "The request conflicts with the present state."


class PreconditionFailed(DomainError):
    """The thing has changed since the caller read it (RFC 9110 §13.1.1)."""

    name = "precondition-failed"
    title = "The resource has changed since it was read."


class TooManyRequests(DomainError):
    """The caller must wait; ``retry_after`` says how many seconds."""

    name = "too-many-requests"
    title = "Too many requests."

    def __init__(self, detail: str | None = None, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something that this needs is away for now; ``retry_after`` says how many seconds to wait."""

    name = "unavailable"
    title = "The service is unavailable for a moment."

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
