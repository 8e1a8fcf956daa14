"""The exceptions of the client: a problem document, an invalid response, a failed live feed."""

from collections.abc import Mapping
from typing import Self

import httpx
from pydantic import BaseModel, ValidationError

from client.models import FieldError


class ProblemError(Exception):
    """The server rejected the call with a problem document (RFC 9457).

    Attributes:
        status: the HTTP status.
        type: a URI whose last part names the problem, e.g. `…/out-of-stock`.
        title: the summary of this problem type.
        detail: the description of this occurrence.
        request_id: the id to search for in the server's logs.
        errors: the invalid fields, if validation failed.
        headers: the response's headers, e.g. `Retry-After`.
    """

    def __init__(self, problem: "_Problem", *, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.type = problem.type
        self.title = problem.title
        self.detail = problem.detail
        self.request_id = problem.request_id or headers.get("X-Request-ID")
        self.errors = problem.errors
        self.headers = headers
        super().__init__(str(self))

    @property
    def name(self) -> str:
        """The last part of `type`, in kebab case."""
        return self.type.rpartition("/")[2]

    def __str__(self) -> str:
        fields = "".join(f"; {error.place}: {error.detail}" for error in self.errors)
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.status} {self.title.rstrip('.')}{detail}{fields} (request {self.request_id})"

    @classmethod
    def of(cls, response: httpx.Response) -> Self | None:
        """Return the problem in a response, or None if the response holds no problem document."""
        if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
            return None
        try:
            problem = _Problem.model_validate_json(response.content)
        except ValidationError:
            return None
        return cls(problem, status=response.status_code, headers=response.headers)


class AnswerError(Exception):
    """The response is neither what the API promises nor a problem document."""

    def __init__(self, response: httpx.Response, reason: str) -> None:
        self.response = response
        request = response.request
        super().__init__(
            f"{request.method} {request.url} returned {response.status_code} {reason}: "
            f"{response.text[:200]!r}. Check that this is the address of the gateway."
        )


class FeedError(Exception):
    """The live feed could not be opened, or the server ended it with an error message."""


class _Problem(BaseModel):
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()
