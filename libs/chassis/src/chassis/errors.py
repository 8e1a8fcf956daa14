"""The errors that use cases raise; the HTTP layer turns each into a problem document (RFC 9457).

A service subclasses the kind that fits: ``class OutOfStock(Conflict)``. The problem's type is made
from the class name, ``out-of-stock``, and its title is the first line of the docstring. The kinds
do not depend on HTTP, so that a consumer or a job can raise and catch them as well.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

_BEFORE_A_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One fault in one part of the input.

    Args:
        detail: what is wrong, for a person.
        pointer: a JSON pointer (RFC 6901, as a URI fragment: ``#/items/0``) into the body.
        parameter: the name of the query, path or form parameter, if the fault is in one.
        header: the name of the header, if the fault is in one.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class DomainError(Exception):
    """The base of the errors that a use case raises when it can't fulfil a request.

    Args:
        detail: what was wrong, where, and what to do about it.
        errors: the fields concerned, if any.
        extra: further members of the problem document (RFC 9457 §3.2).

    Attributes:
        name: the last part of the problem's ``type``; never changed once published. By default
            the class' name in kebab-case.
        title: the same sentence for every occurrence; by default the docstring's first line.
        retry_after: seconds after which the same request may succeed; None if waiting is no help.
    """

    name: ClassVar[str] = "error"
    title: ClassVar[str] = "The request can't be fulfilled."
    retry_after: int | None = None

    def __init_subclass__(cls) -> None:
        """Set the class' name and title, unless it defines them itself.

        Raises:
            TypeError: it has neither title nor docstring. Python run with ``-OO`` drops
                docstrings.
        """
        super().__init_subclass__()
        own = vars(cls)
        if "name" not in own:
            cls.name = _BEFORE_A_CAPITAL.sub("-", cls.__name__).lower()
        if "title" not in own:
            lines = inspect.cleandoc(own.get("__doc__") or "").splitlines()
            if not lines:
                message = f"{cls.__name__} has no title. Begin its docstring with one."
                raise TypeError(message)
            cls.title = lines[0]

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
    """The request can't be read."""

    name = "malformed-request"


class Invalid(DomainError):
    """The request is not valid.

    The request could be read, but violates a rule; ``errors`` point to the fields.
    """

    name = "validation-failed"


class Unauthenticated(DomainError):
    """A valid access token is needed.

    The request has no access token, or one that is not valid.
    """


class ReauthenticationNeeded(Unauthenticated):
    """A recent log-in is needed.

    The access token is valid, but its log-in is older than the operation accepts (RFC 9470 §3).

    Args:
        detail: see ``DomainError``.
        max_age: how many seconds ago the log-in may have been.
    """

    def __init__(self, detail: str | None = None, *, max_age: int) -> None:
        super().__init__(detail, extra={"max_age": max_age})


class Forbidden(DomainError):
    """This is not allowed.

    The caller is authenticated, but has no permission for this.
    """


class LogInRequired(Forbidden):
    """This needs a log-in session.

    An API key must not manage its owner's credentials: a stolen one could replace itself.
    """


class NotFound(DomainError):
    """There is no such thing.

    Or it exists, but this caller may not see it.
    """


class Conflict(DomainError):
    """The request conflicts with the present state."""


class PreconditionFailed(DomainError):
    """The resource has changed since it was read.

    RFC 9110 §13.1.1.
    """


class TooManyRequests(DomainError):
    """Too many requests.

    ``retry_after`` says how many seconds the caller must wait.
    """

    retry_after: int

    def __init__(self, detail: str | None = None, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """The service is unavailable for a moment.

    Something that this needs is unavailable; ``retry_after`` says how many seconds to wait.
    """

    retry_after: int

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
